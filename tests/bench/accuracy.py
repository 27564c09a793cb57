#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The table of bench-accuracy: how far each method is from the simulated machine's truth, in percent, and how many of its 95 % intervals hold it.
Lines of JSON stay in BUILD/accuracy.json. With a scenario's name after BUILD only that one."""
import json
import pathlib
import subprocess
import sys

BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build")


def main():
    text = subprocess.run([BUILD / "tests" / "bench" / "bench-accuracy", *sys.argv[2:]], stdout=subprocess.PIPE, text=True, check=True).stdout
    (BUILD / "accuracy.json").write_text(text)
    rows = [json.loads(line) for line in text.splitlines()]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    ours = [name for name in methods if any(row["ours"] and row["method"] == name for row in rows)]
    print("Simulated. Active energy of tenants, mean of |given - true| / true over tenants, in %; (coverage of the 95 % intervals, in %)\n")
    for what, title in (("package_mape", "packages"), ("dram_mape", "memory")):
        print(title)
        print("".ljust(14) + "".join(name.rjust(14) for name in methods))
        for key in dict.fromkeys((row["scenario"], row["tier"]) for row in rows):
            cells = ""
            for name in methods:
                row = next(row for row in rows if (row["scenario"], row["tier"], row["method"]) == (*key, name))
                cell = f"{row[what]:.1f}" if what in row else "-"
                if what == "package_mape" and name in ours and "coverage" in row:
                    cell += f" ({row['coverage']:.0f})"
                cells += cell.rjust(14)
            print(" ".join(key).ljust(14) + cells)
        print()
    worst = max((row["conservation_uj"] for row in rows if row["ours"] and row["method"] != "energat"), default=0)
    print(f"conservation of our methods but raw energat: {worst} uJ")


if __name__ == "__main__":
    main()
