#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The include rule: a directory of src/ includes only what stands left of it, and only the programs speak.

    base -> model -> {sources, units, intensity} -> attribution -> meter -> sinks -> programs (agent, cli)

net stands beside base: it includes base alone, and everything from sources on may include it.
"""
import re
import sys

from tree import Findings, c_code, project_files, read_text, root_argument

LEAVES = ["sources", "units", "intensity"]

# Directory -> the directories that it may include besides itself. A new directory gets its row here.
ALLOWED = {
    "base": [],
    "net": ["base"],
    "model": ["base"],
    **{leaf: ["base", "net", "model"] for leaf in LEAVES},
    "attribution": ["base", "net", "model", *LEAVES],
    "meter": ["base", "net", "model", *LEAVES, "attribution"],
    "sinks": ["base", "net", "model", *LEAVES, "attribution", "meter"],
    "lib": ["base", "net", "model"],
    "agent": ["base", "net", "model", *LEAVES, "attribution", "meter", "sinks"],
    "cli": ["base", "net", "model", *LEAVES, "attribution", "meter", "sinks"],
}

PROGRAMS = ["agent", "cli"]

# Made by the build or by the kernel's tools, without a directory in their names.
GENERATED = re.compile(r"^[\w-]+\.skel\.h$|^vmlinux(_min)?\.h$")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]*)"', re.M)

# Library code never logs, prints or exits: it returns a result and a sentence.
SPEAKING = re.compile(r"\b(printf|puts|putchar|perror|exit|_exit|abort|log_(?:error|warn|info|debug|msg))\s*\(|"
                      r"\bv?(fprintf|fputs)\s*\(\s*(?:std(?:out|err)\b)")

# The log itself is the one place where words leave a library.
MAY_SPEAK = re.compile(r"^src/base/log\.[ch]$")

# Processes of the library's own, forked to run commands, end by _exit; the program that called it does not.
MAY_END = re.compile(r"^src/base/command_(run|helper)\.c$")


def check_includes(path, text, findings):
    directory = path.split("/")[1]
    for match in INCLUDE.finditer(text):
        included = match.group(1)
        line = text.count("\n", 0, match.start()) + 1
        target = included.split("/")[0]
        if ".." in included.split("/"):
            findings.add(path, line, f'"{included}": include from src/ on, without ".."')
        elif "/" not in included:
            if not GENERATED.match(included) and ".bpf." not in path and "/bpf/" not in path:
                findings.add(path, line, f'"{included}": write the directory too ("{directory}/{included}")')
        elif target not in ALLOWED:
            findings.add(path, line, f'"{included}": {target} is no directory that tests/lint/layers.py knows')
        elif target != directory and target not in ALLOWED[directory]:
            findings.add(path, line, f'"{included}": {directory} must not include {target}')


def check_silence(path, text, findings):
    code = c_code(text)
    for match in SPEAKING.finditer(code):
        line = code.count("\n", 0, match.start()) + 1
        name = match.group(1) or match.group(2)
        if name == "_exit" and MAY_END.match(path):
            continue
        findings.add(path, line, f"{name}(): library code returns errors, it does not print, log or exit")


def main():
    root = root_argument()
    findings = Findings()
    n_files = 0
    for path in project_files(root):
        parts = path.split("/")
        if parts[0] != "src" or len(parts) < 3 or not path.endswith((".c", ".h")):
            continue
        n_files += 1
        text = read_text(root, path) or ""
        if parts[1] not in ALLOWED:
            findings.add(path, 1, f"src/{parts[1]} has no row in tests/lint/layers.py: say what it may include")
            continue
        check_includes(path, text, findings)
        if parts[1] not in PROGRAMS and not MAY_SPEAK.match(path):
            check_silence(path, text, findings)
    return findings.finish("layers", n_files)


if __name__ == "__main__":
    sys.exit(main())
