#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The lints on small trees of their own: each rule finds its bad example, names file and line, and leaves the good one
alone."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
C_LICENCE = "/* SPDX-License-Identifier: Apache-2.0 */\n"
BPF_LICENCE = "/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */\n"


def run(script, files, git=False):
    """Exit status and findings of a lint on a tree of these files."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())
        if git:
            subprocess.run(["git", "init", "-q", root], check=True)
        done = subprocess.run([sys.executable, "-B", os.path.join(HERE, script), root], capture_output=True, text=True)
        return done.returncode, done.stdout.splitlines()[:-1], done.stdout


class Layers(unittest.TestCase):
    def check(self, files, expected):
        status, findings, _ = run("layers.py", files)
        self.assertEqual(findings, expected)
        self.assertEqual(status, 1 if expected else 0)

    def test_allowed_includes(self):
        self.check({
            "src/base/a.c": '#include <stdio.h>\n#include "base/a.h"\n',
            "src/net/a.c": '#include "base/a.h"\n#include "net/b.h"\n',
            "src/model/a.c": '#include "base/a.h"\n',
            "src/sources/a.c": '#include "base/a.h"\n#include "model/a.h"\n#include "a.skel.h"\n',
            "src/sources/bpf/a.bpf.c": '#include "vmlinux.h"\n#include "shared.h"\n',
            "src/intensity/a.c": '#include "net/a.h"\n',
            "src/attribution/a.c": '#include "units/a.h"\n',
            "src/meter/a.c": '#include "attribution/a.h"\n',
            "src/sinks/a.c": '#include "meter/a.h"\n',
            "src/agent/a.c": '#include "sinks/a.h"\n#include "base/a.h"\n',
        }, [])

    def test_backward_and_sideways_includes(self):
        self.check({
            "src/base/a.c": '\n#include "model/a.h"\n',
            "src/model/a.c": '#include "net/a.h"\n',
            "src/sources/a.c": '#include "units/a.h"\n',
            "src/sinks/a.h": '#  include "agent/a.h"\n',
            "src/cli/a.c": '#include "agent/a.h"\n',
        }, [
            'src/base/a.c:2: "model/a.h": base must not include model',
            'src/cli/a.c:1: "agent/a.h": cli must not include agent',
            'src/model/a.c:1: "net/a.h": model must not include net',
            'src/sinks/a.h:1: "agent/a.h": sinks must not include agent',
            'src/sources/a.c:1: "units/a.h": sources must not include units',
        ])

    def test_odd_includes(self):
        self.check({
            "src/base/a.c": '#include "a.h"\n#include "../base/a.h"\n#include "elsewhere/a.h"\n',
            "src/fresh/a.c": "",
        }, [
            'src/base/a.c:1: "a.h": write the directory too ("base/a.h")',
            'src/base/a.c:2: "../base/a.h": include from src/ on, without ".."',
            'src/base/a.c:3: "elsewhere/a.h": elsewhere is no directory that tests/lint/layers.py knows',
            "src/fresh/a.c:1: src/fresh has no row in tests/lint/layers.py: say what it may include",
        ])

    def test_libraries_are_silent(self):
        speaking = 'int f(void)\n{\n    printf("x");\n    fprintf(stderr, "x");\n    log_warn("x");\n    exit(1);\n}\n'
        quiet = '/* printf("x") */\nint f(FILE *o)\n{\n    snprintf(b, 1, "exit(1)");\n    fprintf(o, "x");\n}\n'
        self.check({"src/base/a.c": quiet, "src/agent/a.c": speaking, "src/base/log.c": speaking}, [])
        self.check({"src/meter/a.c": speaking}, [
            f"src/meter/a.c:{line}: {name}(): library code returns errors, it does not print, log or exit"
            for line, name in [(3, "printf"), (4, "fprintf"), (5, "log_warn"), (6, "exit")]])
        ending = "void f(void)\n{\n    _exit(1);\n    exit(1);\n}\n"
        self.check({"src/base/command_run.c": ending, "src/base/command_helper.c": "", "src/base/commands.c": ending}, [
            f"src/base/{file}:{line}: {name}(): library code returns errors, it does not print, log or exit"
            for file, line, name in [("command_run.c", 4, "exit"), ("commands.c", 3, "_exit"), ("commands.c", 4, "exit")]])

    def test_an_empty_tree_is_no_success(self):
        self.assertEqual(run("layers.py", {"README": "x"})[0], 1)
        self.assertEqual(run("names.py", {})[0], 1)


class Names(unittest.TestCase):
    def check(self, files, expected):
        status, findings, _ = run("names.py", files)
        self.assertEqual(findings, expected)
        self.assertEqual(status, 1 if expected else 0)

    def test_licence_lines(self):
        self.check({
            "src/base/good.c": C_LICENCE,
            "src/base/late.c": "\n" + C_LICENCE,
            "src/base/none.h": "int x;\n",
            "src/sources/bpf/good.bpf.c": BPF_LICENCE,
            "src/sources/bpf/bad.bpf.c": C_LICENCE,
            "src/sources/bpf/shared.h": BPF_LICENCE,
            "tools/good": "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n",
            "tools/bad": "#!/bin/sh\n",
            "src/meson.build": "x = 1\n",
            "docs/page.md": "No licence line is wanted here.\n",
            "tests/fuzz/corpus/x/seed.c": "int x;\n",
        }, [
            'src/base/late.c:1: the file does not begin with "SPDX-License-Identifier: Apache-2.0"',
            'src/base/none.h:1: the file does not begin with "SPDX-License-Identifier: Apache-2.0"',
            'src/meson.build:1: the file does not begin with "SPDX-License-Identifier: Apache-2.0"',
            'src/sources/bpf/bad.bpf.c:1: the file does not begin with '
            '"SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)"',
            'tools/bad:1: the file does not begin with "SPDX-License-Identifier: Apache-2.0"',
        ])

    def test_machine_paths(self):
        work = "/wor" + "k/"
        home = "/hom" + "e/ada"
        self.check({
            "docs/a.md": f"fine: net/wor{'k'}/x, $HOME/x, {work[:-1]}\nsee {work}x\n",
            "docs/b.md": f"see `{home}/x`\n",
            "docs/c.bin": b"\0" + work.encode(),
        }, [
            f'docs/a.md:2: "{work}": a path of one machine has no place here',
            f'docs/b.md:1: "{home[:7]}": a path of one machine has no place here',
        ])

    def test_quantities_say_their_unit(self):
        self.check({"src/base/a.c": C_LICENCE + """
struct s {
    uint64_t energy_uj, max_energy_range_uj;
    uint64_t energy;
    unsigned long total_power[3];
    const char *energy_text;
    double power;
};
uint64_t energy_of(int x);
int power_fd = -1;
size_t n_energy = 0, duration_count;
void f(uint32_t duration, uint64_t duration_ns);
int64_t x_uj = 1, idle_energy = x;
/* uint64_t power; */
uint64_t powers_of_ten[20];
"""}, [
            'src/base/a.c:5: "energy": a quantity says its unit (_uj, _uw, _ns)',
            'src/base/a.c:6: "total_power": a quantity says its unit (_uj, _uw, _ns)',
            'src/base/a.c:13: "duration": a quantity says its unit (_uj, _uw, _ns)',
            'src/base/a.c:14: "idle_energy": a quantity says its unit (_uj, _uw, _ns)',
        ])

    def test_forbidden_calls(self):
        calls = C_LICENCE + """
void f(void)
{
    sscanf(a, b);
    x = atoi(a);
    popen(a, b), system(a);
    strtok (a, b);
    my_system(a), s->system(a), s.atoi(b); /* system(a) */
    puts("system(a)");
    usleep(1);
    clock_gettime(a, b);
}
"""
        expected = [
            (5, "sscanf(): use base/parse.h"), (6, "atoi(): use parse_u64"), (7, "popen(): use posix_spawn"),
            (7, "system(): use posix_spawn"), (8, "strtok(): use scan_word or scan_until"),
        ]
        self.check({"src/model/a.c": calls}, [f"src/model/a.c:{line}: {text}" for line, text in expected] +
                   ["src/model/a.c:12: clock_gettime(): read the clock through struct carnot_clock"])
        self.check({"tests/unit/a.c": calls}, [f"tests/unit/a.c:{line}: {text}" for line, text in expected] +
                   ["tests/unit/a.c:11: usleep(): a test waits for a condition, not for a time"])

    def test_git_says_what_belongs_to_the_project(self):
        files = {".gitignore": "/out/\n", "src/a.c": "int x;\n", "out/b.c": "int x;\n",
                 "built/meson-private/x": "", "built/b.c": "int x;\n"}
        finding = 'src/a.c:1: the file does not begin with "SPDX-License-Identifier: Apache-2.0"'
        _, findings, _ = run("names.py", {path: text for path, text in files.items() if "out/" not in path})
        self.assertEqual(findings, [finding])
        if not shutil.which("git"):
            self.skipTest("git is not installed: listing by git not checked")
        _, findings, _ = run("names.py", {path: text for path, text in files.items() if "built" not in path}, git=True)
        self.assertEqual(findings, [finding])


class Usage(unittest.TestCase):
    def test_wrong_arguments(self):
        for script in ["layers.py", "names.py"]:
            done = subprocess.run([sys.executable, "-B", os.path.join(HERE, script)], capture_output=True, text=True)
            self.assertEqual(done.returncode, 64)
            self.assertIn("usage:", done.stderr)


if __name__ == "__main__":
    unittest.main()
