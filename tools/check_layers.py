#!/usr/bin/env python3
"""Fails when an include points up or sideways, when a folder uses one it does not declare, or when headers include each
other in a circle.

The maps are blocks of HACKING.md, one layer a line, highest first; what stands on one line are peers and may not
include each other.

  ```layers         the folders under src/. Each folder that one includes must stand in its CMakeLists.txt as
                    bitloom::FOLDER.
  ```layers NAME    what lies in src/NAME: subfolders and files (NAME.h and its sources, without their endings); "." is
                    whatever has no entry of its own. Tests and benchmarks may use all of their folder.

A folder without a map of its own has no order inside it; circles of headers are found everywhere.

check_layers.py --self-test tries all this on small trees.
"""
import pathlib
import re
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = {".h", ".cc", ".cu", ".inc"}


def read_maps(root):
    """{folder under src, "" for src itself: {entry: height}}, the lowest layer's height being 1."""
    maps = {}
    for name, block in re.findall(r"^```layers ?(\S*)\n(.*?)^```", (root / "HACKING.md").read_text(), re.S | re.M):
        lines = [line.split("#")[0].split() for line in block.splitlines()]
        lines = [line for line in lines if line]
        maps[name] = {entry: len(lines) - at for at, line in enumerate(lines) for entry in line}
    return maps


def read_includes(src):
    """[(file, line number, header)] of every include of ours, both paths from src/."""
    found = []
    for file in sorted(path for path in src.rglob("*") if path.suffix in SOURCES):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+"(\w+/[^"]+)"', line)
            if match and (src / match.group(1).split("/")[0]).is_dir():
                found.append((str(file.relative_to(src)), number, match.group(1)))
    return found


def entry_of(file, folder, entries):
    """The map's entry that a file of the folder belongs to: itself, the nearest folder around it, or "."."""
    path = pathlib.PurePosixPath(file).relative_to(folder)
    for at in [path.with_suffix(""), *path.parents]:
        if str(at) in entries:
            return str(at)
    return None


def is_test(file):
    return bool({"test", "bench"} & set(pathlib.PurePosixPath(file).stem.split("_")))


def check_map(folder, entries, files, includes):
    """Order inside one folder; of src itself the entries are folders."""
    errors = []
    inside = [file for file in files if not folder or file.startswith(folder + "/")]
    place = f"the map of {folder or 'folders'} in HACKING.md"
    for file in inside:
        if entry_of(file, folder, entries) is None and not (folder and is_test(file)):
            errors.append(f"src/{file}: not in {place}")
    if folder:
        used = {entry_of(file, folder, entries) for file in inside}
        errors += [f"{place}: nothing is '{entry}'" for entry in entries if entry not in used]
    for file, number, header in includes:
        if file not in inside or header not in inside or (folder and is_test(file)):
            continue
        of_file, of_header = entry_of(file, folder, entries), entry_of(header, folder, entries)
        if of_file != of_header and entries.get(of_header, 0) >= entries.get(of_file, 0):
            errors.append(f"src/{file}:{number}: {of_file} may not include {of_header} ({header}): imports point down")
    return errors


def check_declared(src, includes):
    errors = []
    for file, number, header in includes:
        folder, used = file.split("/")[0], header.split("/")[0]
        declared = re.findall(r"bitloom::(\w+)", (src / folder / "CMakeLists.txt").read_text())
        if used != folder and used not in declared:
            errors.append(f"src/{file}:{number}: CMakeLists.txt of {folder} does not declare bitloom::{used}")
    return errors


def check_circles(includes):
    """Headers of one folder that include each other."""
    graph = {}
    for file, _, header in includes:
        if file.endswith(".h") and file.split("/")[0] == header.split("/")[0]:
            graph.setdefault(file, []).append(header)
    errors, path, done = [], [], set()

    def visit(header):
        if header in path:
            errors.append("headers in a circle: " + " -> ".join(path[path.index(header):] + [header]))
        elif header not in done:
            done.add(header)
            path.append(header)
            for used in graph.get(header, []):
                visit(used)
            path.pop()

    for header in sorted(graph):
        visit(header)
    return errors


def check(root):
    src = root / "src"
    maps = read_maps(root)
    if "" not in maps:
        return ["HACKING.md: no block fenced with ```layers"]
    files = [str(file.relative_to(src)) for file in sorted(src.rglob("*")) if file.suffix in SOURCES]
    includes = read_includes(src)
    errors = check_declared(src, includes) + check_circles(includes)
    for folder, entries in maps.items():
        errors += check_map(folder, entries, files, includes)
    return errors


# Files of a tree {path from src/: header that it includes}, and what is said of it. Its maps: top above low and peer;
# in low: a above the folder sub above everything else, b.
SELF_TEST_MAPS = "```layers\ntop\nlow peer\n```\n```layers low\na\nsub\n.\n```\n"
SELF_TEST = [
    ({"top/x.cc": "low/a.h", "low/a.cc": "low/sub/s.h", "low/sub/s.cc": "low/b.h"}, ""),
    ({"low/a.cc": "top/x.h"}, "src/low/a.cc:1: low may not include top (top/x.h)"),
    ({"low/a.cc": "peer/p.h"}, "low may not include peer"),
    ({"peer/p.cc": "top/x.h"}, "CMakeLists.txt of peer does not declare bitloom::top"),
    ({"low/b.cc": "low/a.h"}, "src/low/b.cc:1: . may not include a (low/a.h)"),
    ({"low/b_test.cc": "low/a.h", "low/sub/test_models.h": "low/a.h"}, ""),
    ({"low/sub/s.cc": "low/a.h"}, "sub may not include a"),
    ({"low/b.h": "low/c.h", "low/c.h": "low/b.h"}, "headers in a circle: low/b.h -> low/c.h -> low/b.h"),
    ({"new/n.cc": ""}, "src/new/n.cc: not in the map of folders"),
]


def self_test():
    for files, expected in SELF_TEST:
        with tempfile.TemporaryDirectory() as directory:
            root = pathlib.Path(directory)
            (root / "HACKING.md").write_text(SELF_TEST_MAPS)
            headers = dict.fromkeys(["top/x.h", "low/a.h", "low/b.h", "low/sub/s.h", "peer/p.h"], "")
            for file, header in (headers | files).items():
                path = root / "src" / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f'#include "{header}"\n' if header else "")
                declared = "" if file.startswith("peer/") else "bitloom::low bitloom::peer bitloom::top"
                (root / "src" / file.split("/")[0] / "CMakeLists.txt").write_text(declared)
            errors = check(root)
        if bool(errors) != bool(expected) or not any(expected in error for error in errors or [""]):
            sys.exit(f"check_layers.py --self-test: of {files} expected '{expected}', got {errors}")
    print(f"layers: {len(SELF_TEST)} self-tests passed")


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    errors = check(ROOT)
    for error in errors:
        print(error)
    print(f"layers: {len(errors)} problem{'s' if len(errors) != 1 else ''}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
