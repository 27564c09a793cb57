# SPDX-License-Identifier: Apache-2.0
"""A client of carbon-ops' governor, written by the documented protocol: 0.2 s for each operation on the socket, chunks of 4096 bytes until one has
a newline, one object with integers below "counters_uj". It differs only in when it sends its request."""
import json
import select
import socket

TIMEOUT_S = 0.2
REQUEST = b"{}\n"


class Unavailable(Exception):
    """What such a client tells its user."""


def _talk(path, manners):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(TIMEOUT_S)
        s.connect(path)
        if manners == "asks":
            s.sendall(REQUEST)
        elif manners == "asks late":  # once the answer has come
            select.select([s], [], [], TIMEOUT_S)
            s.sendall(REQUEST)
        elif manners == "asks and half-closes":
            s.sendall(REQUEST)
            s.shutdown(socket.SHUT_WR)
        elif manners == "half-closes":
            s.shutdown(socket.SHUT_WR)
        else:
            assert manners == "is silent"
        data = b""
        while True:
            chunk = s.recv(4096)
            if not chunk:
                break
            data += chunk
            if b"\n" in chunk:
                break
        return data


MANNERS = ("asks", "asks late", "is silent", "asks and half-closes", "half-closes")


def raw(path, manners="asks"):
    """The whole answer object."""
    try:
        data = _talk(path, manners)
    except OSError as error:
        raise Unavailable(f"Failed to communicate with governor at {path}: {error!r}") from error
    if not data:
        raise Unavailable("Governor returned empty response")
    try:
        answer = json.loads(data.split(b"\n")[0].decode("utf-8", "replace"))
    except ValueError as error:
        raise Unavailable("Invalid governor response payload") from error
    if not isinstance(answer, dict):
        raise Unavailable("Invalid governor response payload")
    return answer


def snapshot(path, manners="asks"):
    """(timestamp, {domain: uJ}) or Unavailable."""
    answer = raw(path, manners)
    if not isinstance(answer.get("counters_uj"), dict):
        raise Unavailable("Governor response missing counters_uj")
    counters = {}
    for name, value in answer["counters_uj"].items():
        try:
            counters[name] = int(value)
        except (TypeError, ValueError) as error:
            raise Unavailable(f"Governor counter for domain '{name}' is not an integer") from error
    return float(answer["timestamp"]), counters
