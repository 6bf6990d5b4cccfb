#!/usr/bin/env python3
"""Runs oracles one after the other and compares what they derive with what is committed: run_oracles.py [NAME...]

An oracle is tests/oracle/NAME.py; FOLDER_*.py (or FOLDER.py) writes what belongs in tests/golden/FOLDER, here into
build/oracle/golden/NAME. Without names all run, and golden files that none derives are named. The end is a table: same,
different, failed, or skipped where data is absent that users lack. Exit code 1 when one differs or fails.
"""

import json
import pathlib
import subprocess
import sys
import time

from compare_golden import differences

ORACLES, GOLDEN, DERIVED = pathlib.Path("tests/oracle"), pathlib.Path("tests/golden"), pathlib.Path("build/oracle/golden")
SHARED = pathlib.Path("../shared")
NEED_SHARED = {"eval_ppl", "eval_tasks", "forward_tiny", "tokenize"}
TOOK = pathlib.Path("build/oracle/seconds.json")  # what each took when it last ran, for the time that is left
USUAL_SECONDS = 30  # of those that never ran here
NOT_DERIVED = {"README.md"}


def read_took():
    return json.loads(TOOK.read_text()) if TOOK.exists() else {}


def duration(seconds):
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def files_of(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def compare(name):
    """Lines that say what differs from the committed files, and how many files there are."""
    derived, golden = DERIVED / name, GOLDEN / name.split("_")[0]
    lines, files = [], sorted(files_of(derived))
    for file in files:
        found = [f"not in {golden}"]
        if (golden / file).exists():
            found = list(differences(golden / file, derived / file))
        lines += [f"{file}: {line}" for line in found[:5]]
    return lines, len(files)


def run(name):
    """What became of the oracle, in a word, and the lines that explain it."""
    if name in NEED_SHARED and not SHARED.exists():
        return "skipped", [f"needs {SHARED}"]
    done = subprocess.run([sys.executable, "-P", ORACLES / f"{name}.py", "--out", DERIVED / name], capture_output=True,
                          text=True, errors="replace")
    if done.returncode != 0:
        return "failed", done.stderr.splitlines()[-5:]
    lines, files = compare(name)
    if not files:
        return "failed", ["writes nothing"]
    return ("different", lines) if lines else ("same", [f"{files} file" + "s" * (files > 1)])


def not_derived():
    derived = {f"{name.name.split('_')[0]}/{file}" for name in DERIVED.iterdir() for file in files_of(name)}
    return sorted(f for f in files_of(GOLDEN) if f not in derived and pathlib.Path(f).name not in NOT_DERIVED)


def chosen(names):
    known = sorted(path.stem for path in ORACLES.glob("*.py"))
    for name in names:
        if name not in known:
            sys.exit(f"oracle: no {ORACLES}/{name}.py; there are {', '.join(known)}")
    return names or known


def main():
    names, rows, took = chosen(sys.argv[1:]), [], read_took()
    subprocess.run(["rm", "-rf", *(DERIVED / name for name in names)], check=True)
    for at, name in enumerate(names):
        left = sum(took.get(later, USUAL_SECONDS) for later in names[at:])
        print(f"[{at + 1}/{len(names)}] {name} (about {duration(left)} left)", flush=True)
        start = time.monotonic()
        result, lines = run(name)
        rows.append((name, time.monotonic() - start, result))
        took[name] = rows[-1][1]
        TOOK.write_text(json.dumps(took))
        for line in lines if result != "same" else ():
            print(f"  {line}", flush=True)
    print(f"\n{'oracle':24} {'seconds':>8}  result")
    for name, seconds, result in rows:
        print(f"{name:24} {seconds:8.1f}  {result}")
    orphans = [] if sys.argv[1:] or any(result != "same" for *_, result in rows) else not_derived()
    for file in orphans:
        print(f"tests/golden/{file}: no oracle derives it")
    print(f"{sum(result == 'same' for *_, result in rows)} of {len(rows)} oracles the same, "
          f"{duration(sum(seconds for _, seconds, _ in rows))}")
    sys.exit(1 if orphans or any(result in ("different", "failed") for *_, result in rows) else 0)


if __name__ == "__main__":
    main()
