#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Words and calls: the licence line of each source file, paths of somebody's machine, quantities without a unit,
functions that this project does not call."""
import re
import sys

from tree import Findings, c_code, project_files, read_text, root_argument

LICENCE = "SPDX-License-Identifier: Apache-2.0"
# What the kernel loads must be offered under the GPL as well.
BPF_LICENCE = "SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)"

# Recorded input for tests: not ours to sign, and free to hold any word.
DATA = re.compile(r"^tests/(fuzz/corpus|fixtures)/|/fixtures/")

# Put together from pieces, so that this file does not find itself.
MACHINE_PATH = re.compile(r"(?<![\w.$})-])/(?:wor" + r"k/|hom" + r"e/[A-Za-z0-9_])")

# Whole numbers that hold an energy, a power or a duration say in what.
QUANTITIES = {"energy", "power", "duration"}
UNITS = {"nj", "uj", "mj", "j", "kj", "wh", "kwh", "nw", "uw", "mw", "w", "kw", "ns", "us", "ms", "s", "sec", "min",
         "h", "raw", "ticks", "units", "ppm", "percent"}
# Words that make the name one of something else: a descriptor of an energy file, the number of powers.
OTHER_THINGS = {"fd", "n", "count", "index", "idx", "id", "flags", "kind", "type", "off", "offset", "slot", "source",
                "len", "event", "bits", "bit", "shift"}
INTEGER = re.compile(
    r"\b(?:u?int(?:8|16|32|64)?_t|size_t|ssize_t|__[us](?:8|16|32|64)|"
    r"(?:unsigned|signed|int|long|short)(?:\s+(?:int|long|short))*)"
    r"\s+((?:\*|const\b|\s)*[A-Za-z_]\w*[^;(){}]*)[;,)=({]")
DECLARATOR = re.compile(r"(?:^|,)[\s*]*(?:const\s+)?([A-Za-z_]\w*)")

FORBIDDEN_CALLS = {
    "sscanf": "use base/parse.h",
    "strtok": "use scan_word or scan_until",
    "atoi": "use parse_u64",
    "atol": "use parse_i64",
    "atof": "use parse_f64",
    "popen": "use posix_spawn",
    "system": "use posix_spawn",
    "strcpy": "use memcpy, snprintf or an arena",
    "strcat": "use a buf",
    "sprintf": "use snprintf or a buf",
    "gets": "use read",
}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(FORBIDDEN_CALLS) + r")\s*\(")

# A test waits for a condition, not for a time.
SLEEP = re.compile(r"(?<![\w.>])(sleep|usleep|nanosleep|clock_nanosleep)\s*\(")

# The clock is read through struct carnot_clock.
CLOCK = re.compile(r"(?<![\w.>])(clock_gettime|gettimeofday)\s*\(")
CLOCK_FILE = "src/base/clock.c"

# Names the calls in order to ban them.
BANS = "src/base/banned.h"


def is_source(path, text):
    name = path.rsplit("/", 1)[-1]
    return path.endswith((".c", ".h", ".py", ".sh")) or name == "meson.build" or text.startswith("#!")


def check_licence(path, text, findings):
    head = text.split("\n", 3)[:3]
    bpf = "/bpf/" in path or path.endswith((".bpf.c", ".bpf.h"))
    wanted = [BPF_LICENCE, LICENCE] if bpf and not path.endswith(".bpf.c") else [BPF_LICENCE] if bpf else [LICENCE]
    if path.endswith((".c", ".h")):
        head = head[:1]
    if not any(licence in line for licence in wanted for line in head):
        findings.add(path, 1, f'the file does not begin with "{wanted[0]}"')


def check_words(path, text, findings):
    for number, line in enumerate(text.split("\n"), 1):
        match = MACHINE_PATH.search(line)
        if match:
            findings.add(path, number, f'"{match.group(0)}": a path of one machine has no place here')


def lacks_unit(name):
    words = set(name.lower().strip("_").split("_"))
    return bool(words & QUANTITIES) and not words & UNITS and not words & OTHER_THINGS


def check_quantities(path, code, findings):
    for match in INTEGER.finditer(code):
        if code[match.end() - 1] == "(":
            continue  # a function; what it returns is told in its comment
        for declarator in DECLARATOR.finditer(re.sub(r"\[[^\]]*\]", "", match.group(1))):
            if lacks_unit(declarator.group(1)):
                line = code.count("\n", 0, match.start()) + 1
                findings.add(path, line, f'"{declarator.group(1)}": a quantity says its unit (_uj, _uw, _ns)')


def check_calls(path, code, findings):
    rules = [] if path == BANS else [(CALL, lambda name: FORBIDDEN_CALLS[name])]
    if path.startswith(("tests/unit/", "tests/property/")):
        rules.append((SLEEP, lambda name: "a test waits for a condition, not for a time"))
    if path.startswith("src/") and path != CLOCK_FILE:
        rules.append((CLOCK, lambda name: "read the clock through struct carnot_clock"))
    for pattern, advice in rules:
        for match in pattern.finditer(code):
            line = code.count("\n", 0, match.start()) + 1
            findings.add(path, line, f"{match.group(1)}(): {advice(match.group(1))}")


def main():
    root = root_argument()
    findings = Findings()
    n_files = 0
    for path in project_files(root):
        text = None if DATA.search(path) else read_text(root, path)
        if text is None:
            continue
        n_files += 1
        check_words(path, text, findings)
        if is_source(path, text):
            check_licence(path, text, findings)
        if path.endswith((".c", ".h")):
            code = c_code(text)
            check_quantities(path, code, findings)
            check_calls(path, code, findings)
    return findings.finish("names", n_files)


if __name__ == "__main__":
    sys.exit(main())
