# SPDX-License-Identifier: Apache-2.0
"""tools/make-intensity-table on a small data set of our own; and, where the full data set lies beside the checkout or
at CARNOT_CEEMS_FIXTURES, that src/intensity/static_table.c is what the tool makes of it."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SKIP = 77
HEADER = "Entity,Code,Year,Carbon intensity of electricity - gCO2/kWh\n"
ISO = {"3166-1": [{"alpha_2": "FR", "alpha_3": "FRA", "name": "France"},
                  {"alpha_2": "CI", "alpha_3": "CIV", "name": "Ivory Coast"},
                  {"alpha_2": "MC", "alpha_3": "MCO", "name": "Monaco"}]}
ROWS = ("France,FRA,2023,60.5\n"
        "France,FRA,2024,44.1785\n"
        "France,FRA,2022,70\n"
        "\"Cote \"\"d'Ivoire\",CIV,2022,111.11149\n"
        "\"Cote \"\"d'Ivoire\",CIV,2023,0\n"
        "\"Cote \"\"d'Ivoire\",CIV,2024,\n"
        "Kosovo,OWID_KOS,2024,900\n"
        "Europe,,2024,300\n"
        "World,OWID_WRL,2024,473.0065\n")

root = pathlib.Path(sys.argv[1])
tool = root / "tools" / "make-intensity-table"


def run(*args):
    return subprocess.run([sys.executable, str(tool), *map(str, args)], capture_output=True, text=True, check=False)


def expect(what, condition, detail=""):
    if not condition:
        sys.exit(f"{what}: failed {detail}")


def table(text):
    return [line.strip() for line in text.splitlines() if line.startswith('    {"')]


def test_small(dir_):
    owid, iso, made = dir_ / "owid.csv", dir_ / "iso.json", dir_ / "made.c"
    iso.write_text(json.dumps(ISO), encoding="utf-8")
    owid.write_text(HEADER + ROWS, encoding="utf-8")

    r = run(owid, iso, "--date", "2001-02-03")
    expect("small set", r.returncode == 0, r.stderr)
    expect("rows", table(r.stdout) == ['{"CIV", "CI", "Cote \\042d\'Ivoire", 2022, 111111},',
                                      '{"FRA", "FR", "France", 2024, 44179},',
                                      '{"WLD", "", "World", 2024, 473007},'], r.stdout)
    for word in ("2001-02-03", "CC BY 4.0", "Ember", "make-intensity-table"):
        expect("provenance", word in r.stdout, r.stdout)
    expect("no path of this machine", str(dir_) not in r.stdout and str(root) not in r.stdout)

    made.write_text(r.stdout, encoding="utf-8")
    expect("check of what was made", run(owid, iso, "--check", made).returncode == 0)
    made.write_text(r.stdout.replace("44179", "44180"), encoding="utf-8")
    expect("check of another table", run(owid, iso, "--check", made).returncode == 65)

    for name, text, word in (("no world", HEADER + "France,FRA,2024,44\n", "world"),
                             ("other column", "Entity,Code,Year,Carbon\n" + ROWS, "no column"),
                             ("no number", HEADER + ROWS + "Monaco,MCO,2024,x\n", "not a number"),
                             ("other unit", HEADER + ROWS + "Monaco,MCO,2024,44000\n", "out of range")):
        owid.write_text(text, encoding="utf-8")
        r = run(owid, iso)
        expect(name, r.returncode == 65 and word in r.stderr and r.stdout == "", r.stderr)


def test_full():
    fixtures = pathlib.Path(os.environ.get("CARNOT_CEEMS_FIXTURES") or root.parent / "shared" / "fixtures" / "ceems")
    owid, iso = fixtures / "carbon-intensity-owid.csv", fixtures / "data_iso_3166-1.json"
    if not owid.exists() or not iso.exists():
        print("full data set is not beside the checkout (set CARNOT_CEEMS_FIXTURES): static_table.c not compared")
        return SKIP
    r = run(owid, iso, "--check", root / "src" / "intensity" / "static_table.c")
    expect("static_table.c", r.returncode == 0, r.stderr)
    return 0


if sys.argv[2] == "full":
    sys.exit(test_full())
with tempfile.TemporaryDirectory() as tmp:
    test_small(pathlib.Path(tmp))
