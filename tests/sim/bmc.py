#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A simulated BMC: a Redfish service over real HTTP and HTTPS on loopback, well behaved or as rude as it is told.

As a program it prints one line of JSON, {"http": PORT, ...}, serves until its standard input ends, and is told what to do by
requests below /control/ (any listener, no authentication):

    POST /control/set    {"path": P, "json": RESOURCE}         a resource; null removes it
    POST /control/rule   {"path": P, "how": HOW, "times": N}   what the next N requests for that path meet (without N: all)
    POST /control/users  {"NAME": "PASSWORD"}                   who may log in; {}: nobody needs to
    POST /control/expire {}                                     every session ends
    POST /control/forget {}                                     no rules, no log
    POST /control/reset  {}                                     nothing but a service root, and that too
    POST /control/sessions_at {"path": P, "prefix": URL}     where sessions are, and what stands before that in Location
    POST /control/count {}                                      how many sessions there are
    POST /control/log {}                                        the requests so far, in order

With --tls DIR it makes certificates there (by the command openssl) and serves them: https (good for localhost and 127.0.0.1, signed by
DIR/ca.pem), other_name, expired, self_signed, and client, which wants DIR/client.pem of whoever asks. The figures are simulated.
"""
import argparse
import base64
import http.server
import json
import pathlib
import ssl
import subprocess
import sys
import threading
import time

ROOT = "/redfish/v1"
SLOW_SECONDS = 30  # longer than any client of the tests waits


class Rule:
    def __init__(self, path, how, times=None, **more):
        self.path, self.how, self.times, self.more = path, how, times, more


class Bmc:
    """Resources, sessions, rules and a log, shared by all listeners."""

    def __init__(self):
        self.lock = threading.Lock()
        self.resources, self.users, self.tokens = {}, {}, {}
        self.rules, self.log = [], []
        self.next_session = 1
        self.sessions_path, self.location_prefix = f"{ROOT}/SessionService/Sessions", ""
        self.over = threading.Event()
        self.servers = []

    # --- what it holds

    def set(self, path, resource):
        with self.lock:
            if resource is None:
                self.resources.pop(path, None)
            else:
                self.resources[path] = resource

    def add_root(self, **more):
        self.set(ROOT, {
            "@odata.id": f"{ROOT}/", "Id": "RootService", "RedfishVersion": "1.15.0", "Vendor": "Simulated",
            "Chassis": {"@odata.id": f"{ROOT}/Chassis"},
            "SessionService": {"@odata.id": f"{ROOT}/SessionService"},
            "Links": {"Sessions": {"@odata.id": self.sessions_path}}, **more})

    def add_chassis(self, *ids, collection=True, **more):
        """Chassis of that ids with nothing in them; `more` goes into each."""
        for name in ids:
            self.set(f"{ROOT}/Chassis/{name}", {"@odata.id": f"{ROOT}/Chassis/{name}", "Id": name, "ChassisType": "RackMount", **more})
        if collection:
            self.set(f"{ROOT}/Chassis", {"Members": [{"@odata.id": f"{ROOT}/Chassis/{name}"} for name in ids],
                                         "Members@odata.count": len(ids)})

    def load_recorded(self, directory):
        """The answers that some other project recorded, by their own @odata.id."""
        for file in pathlib.Path(directory).glob("*.json"):
            resource = json.loads(file.read_text())
            path = ROOT if file.name == "service_root.json" else resource.get("@odata.id")
            self.set(path.rstrip("/"), resource)
        self.sessions_path = self.resources[ROOT]["Links"]["Sessions"]["@odata.id"]

    def expire(self):
        with self.lock:
            self.tokens.clear()

    def forget(self):
        with self.lock:
            self.rules.clear()
            self.log.clear()

    def reset(self):
        self.forget()
        with self.lock:
            self.resources, self.tokens, self.next_session = {}, {}, 1
            self.sessions_path, self.location_prefix = f"{ROOT}/SessionService/Sessions", ""
        self.add_root()

    def take_rule(self, path):
        with self.lock:
            for rule in self.rules:
                if rule.path != path or rule.times == 0:
                    continue
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None

    # --- sessions

    def log_in(self, asked):
        """(token, path) or None."""
        with self.lock:
            if self.users and self.users.get(asked.get("UserName")) != asked.get("Password"):
                return None
            number, self.next_session = self.next_session, self.next_session + 1
            token = f"simulated-token-{number}"
            self.tokens[token] = f"{self.sessions_path}/{number}"
            return token, self.tokens[token]

    def log_out(self, path):
        with self.lock:
            for token, session in self.tokens.items():
                if session == path:
                    del self.tokens[token]
                    return True
        return False

    def may_pass(self, headers):
        if not self.users:
            return True
        if headers.get("X-Auth-Token") in self.tokens:
            return True
        kind, _, rest = headers.get("Authorization", "").partition(" ")
        if kind != "Basic":
            return False
        user, _, password = base64.b64decode(rest).decode().partition(":")
        return self.users.get(user) == password

    # --- listeners

    def listen(self, name, context=None):
        server = Server(("127.0.0.1", 0), name, self, context)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self.servers.append(server)
        return server.server_address[1]

    def stop(self):
        self.over.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address, name, bmc, context):
        self.name, self.bmc, self.context = name, bmc, context
        super().__init__(address, Handler)

    def process_request_thread(self, request, client_address):
        try:
            if self.context:  # here and not at accept(): a client that says nothing must not hold up the others
                request.settimeout(SLOW_SECONDS)
                request = self.context.wrap_socket(request, server_side=True)
        except (OSError, ssl.SSLError):
            self.shutdown_request(request)
            return
        super().process_request_thread(request, client_address)

    def handle_error(self, request, client_address):
        pass  # clients that go away are what the tests are about


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def send(self, status, body=b"", **headers):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        bmc = self.server.bmc
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/control/"):
            self.control(bmc, self.path.split("/")[2], json.loads(body) if body else {})
            return
        with bmc.lock:
            bmc.log.append({
                "listener": self.server.name, "method": self.command, "path": self.path, "client": self.client_address[1],
                "host": self.headers.get("Host"), "token": self.headers.get("X-Auth-Token"),
                "basic": self.headers.get("Authorization"), "target": self.headers.get("X-Redfish-Url"),
                "word": self.headers.get("X-Word"), "type": self.headers.get("Content-Type"),
                "agent": self.headers.get("User-Agent"), "body": body.decode(errors="replace")})
        rule = bmc.take_rule(self.path)
        if rule:
            getattr(self, "do_" + rule.how)(bmc, **rule.more)
        else:
            self.redfish(bmc, body)

    do_GET = do_POST = do_DELETE = do_HEAD = do_PATCH = handle_any

    def control(self, bmc, verb, asked):
        if verb == "set":
            bmc.set(asked["path"], asked["json"])
        elif verb == "rule":
            with bmc.lock:
                bmc.rules.insert(0, Rule(**asked))
        elif verb == "users":
            bmc.users = asked
        elif verb == "expire":
            bmc.expire()
        elif verb == "forget":
            bmc.forget()
        elif verb == "reset":
            bmc.reset()
        elif verb == "sessions_at":
            bmc.sessions_path, bmc.location_prefix = asked["path"], asked["prefix"]
            bmc.add_root()
        elif verb == "recorded":
            bmc.load_recorded(asked["dir"])
        elif verb not in ("log", "count"):
            self.send(404)
            return
        with bmc.lock:
            self.send(200, list(bmc.log) if verb == "log" else {"sessions": len(bmc.tokens)})

    def redfish(self, bmc, body):
        path = self.path.rstrip("/")
        if self.command == "POST" and path == bmc.sessions_path:
            session = bmc.log_in(json.loads(body))
            if session is None:
                self.send(401, {"error": {"message": "no"}})
            else:
                self.send(201, {"@odata.id": session[1]}, X_Auth_Token=session[0], Location=bmc.location_prefix + session[1])
            return
        if path != ROOT and not bmc.may_pass(self.headers):
            self.send(401, {"error": {"message": "no"}})
            return
        if self.command == "DELETE":
            self.send(204 if bmc.log_out(path) else 404)
            return
        with bmc.lock:
            resource = bmc.resources.get(path)
        if resource is None:
            self.send(404, {"error": {"message": "no such resource"}})
        else:
            self.send(200, resource)

    # --- rules

    def do_status(self, bmc, status, body="", **headers):
        self.send(status, body.encode(), **headers)

    def do_raw(self, bmc, body="", **headers):
        self.send(200, body.encode(), **headers)

    def do_redirect(self, bmc, to, status=302):
        self.send(status, Location=to)

    def do_slow(self, bmc):
        """Answers after everybody's deadline; ends early when the server does."""
        bmc.over.wait(SLOW_SECONDS)
        self.close_connection = True

    def do_trickle(self, bmc):
        """A byte now and then, so that the connection is never silent."""
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.pour(b" ", pause=0.02)

    def do_big(self, bmc, announced=True):
        """2 GB."""
        self.send_response(200)
        self.send_header(*(("Content-Length", str(2 << 30)) if announced else ("Connection", "close")))
        self.end_headers()
        self.pour(b" " * 65536, times=(2 << 30) // 65536)

    def do_heads(self, bmc):
        self.send_response(200)
        self.flush_headers()
        self.pour(b"X-More: " + b"x" * 1000 + b"\r\n", times=1 << 20)

    def do_long_head(self, bmc, name, size):
        self.send(200, b"{}", **{name: "x" * size})

    def pour(self, piece, times=None, pause=0.0):
        self.close_connection = True
        self.wfile.flush()
        end = time.monotonic() + SLOW_SECONDS
        try:
            while times != 0 and time.monotonic() < end and not self.server.bmc.over.wait(pause):
                self.wfile.write(piece)
                self.wfile.flush()
                times = None if times is None else times - 1
        except OSError:
            pass  # the client has had enough, as it should

    def do_short(self, bmc, body="{}"):
        """Announces more than it sends."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + 100))
        self.end_headers()
        self.wfile.write(body.encode())
        self.close_connection = True

    def do_long(self, bmc, body="{}", more="trailing"):
        """Sends more than it announces."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write((body + more).encode())

    def do_hang_up(self, bmc):
        self.close_connection = True

    def do_garbage(self, bmc):
        self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\x00\x01\x02")
        self.close_connection = True

    def do_close_after(self, bmc, body="{}"):
        """A good answer on a connection that is then closed although it was to be kept."""
        self.send(200, body.encode())
        self.wfile.flush()
        self.close_connection = True


# --- certificates ---------------------------------------------------------------------------------------------------

def openssl(directory, *arguments):
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def make_certificate(directory, name, subject, days, signed=True):
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key"]
    (directory / f"{name}.ext").write_text(f"subjectAltName={subject}\n")
    if not signed:
        openssl(directory, "req", "-x509", *key, "-out", f"{name}.pem", "-subj", f"/CN=simulated {name}", "-days", str(days),
                "-addext", f"subjectAltName={subject}")
        return
    openssl(directory, "req", *key, "-out", f"{name}.csr", "-subj", f"/CN=simulated {name}")
    openssl(directory, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", str(days), "-extfile", f"{name}.ext")


def make_certificates(directory):
    directory.mkdir(parents=True, exist_ok=True)
    openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key",
            "-out", "ca.pem", "-subj", "/CN=simulated authority", "-days", "2", "-addext", "basicConstraints=critical,CA:TRUE")
    here = "DNS:localhost,IP:127.0.0.1"
    make_certificate(directory, "https", here, 2)
    make_certificate(directory, "other_name", "DNS:bmc.invalid", 2)
    make_certificate(directory, "expired", here, -1)
    make_certificate(directory, "self_signed", here, 2, signed=False)
    make_certificate(directory, "client", "DNS:client.invalid", 2)


def listen_all(bmc, tls=None):
    """Listeners by name: the port of each."""
    ports = {"http": bmc.listen("http"), "other": bmc.listen("other")}
    if tls is None:
        return ports
    make_certificates(tls)
    for name in ("https", "other_name", "expired", "self_signed", "client"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own = "https" if name == "client" else name
        context.load_cert_chain(tls / f"{own}.pem", tls / f"{own}.key")
        if name == "client":
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(tls / "ca.pem")
        ports[name] = bmc.listen(name, context)
    return ports


def main():
    parser = argparse.ArgumentParser(description="A simulated BMC on loopback.")
    parser.add_argument("--tls", type=pathlib.Path)
    options = parser.parse_args()
    bmc = Bmc()
    bmc.add_root()
    print(json.dumps(listen_all(bmc, options.tls)), flush=True)
    sys.stdin.read()  # ends with whoever started us
    bmc.stop()


if __name__ == "__main__":
    main()
