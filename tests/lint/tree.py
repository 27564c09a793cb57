# SPDX-License-Identifier: Apache-2.0
"""What the lints share: which files belong to the project, C text without comments and strings, how findings
are printed.

Knows git only as one way to list files: a source archive without it is walked instead.
"""
import os
import re
import subprocess
import sys

# Never part of the project, also where no git tells.
SKIPPED_DIRECTORIES = {".git", "__pycache__", ".pytest_cache"}


def project_files(root):
    """Relative paths of all files of the project, sorted."""
    if os.path.exists(os.path.join(root, ".git")):
        try:
            listing = subprocess.run(
                ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z", "--cached", "--others",
                 "--exclude-standard"],
                check=True, capture_output=True).stdout.decode()
            paths = {path for path in listing.split("\0") if path}
            return sorted(path for path in paths if os.path.isfile(os.path.join(root, path)))
        except (OSError, subprocess.CalledProcessError):
            pass  # no git, or not one that reads this checkout: walk
    paths = []
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if name not in SKIPPED_DIRECTORIES and not is_build(directory, name)]
        paths += [os.path.relpath(os.path.join(directory, file), root) for file in files]
    return sorted(paths)


def is_build(directory, name):
    return os.path.isdir(os.path.join(directory, name, "meson-private"))


def read_text(root, path):
    """The file's text, or None when it is not text."""
    with open(os.path.join(root, path), "rb") as file:
        data = file.read()
    if b"\0" in data:
        return None
    return data.decode("utf-8", "replace")


TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def c_code(text):
    """C text with comments and the insides of literals blanked, line for line."""
    def blank(match):
        token = match.group(0)
        if token[0] in "\"'":
            return token[0] + token[0]
        return " " + "\n" * token.count("\n")
    return TOKEN.sub(blank, text)


class Findings:
    """Collects "file:line: sentence" lines."""

    def __init__(self):
        self.lines = []

    def add(self, path, line, sentence):
        self.lines.append(f"{path}:{line}: {sentence}")

    def finish(self, what, n_files):
        """Prints and gives the exit status. A lint that saw no file has checked nothing, which is a failure too."""
        for line in self.lines:
            print(line)
        if not n_files:
            print(f"{what}: no files found: is this the root of the project?")
            return 1
        print(f"{what}: {n_files} files, {len(self.lines)} findings")
        return 1 if self.lines else 0


def root_argument():
    """The one argument: the project's root."""
    if len(sys.argv) != 2 or not os.path.isdir(sys.argv[1]):
        print(f"usage: {sys.argv[0]} ROOT", file=sys.stderr)
        sys.exit(64)
    return sys.argv[1]
