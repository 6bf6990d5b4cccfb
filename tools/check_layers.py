#!/usr/bin/env python3
"""Fails when an include points up or sideways in the layer map, or when a folder uses one it does not declare.

The map is the block fenced with ```layers in HACKING.md: one layer a line, highest first; folders on one line are
peers and may not include each other. A folder may include itself and any folder on a lower line, and each folder it
includes must stand in its CMakeLists.txt as bitloom::FOLDER.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def read_layers():
    text = (ROOT / "HACKING.md").read_text()
    block = re.search(r"```layers\n(.*?)```", text, re.S)
    if not block:
        sys.exit("HACKING.md: no block fenced with ```layers")
    lines = [line.split("#")[0].split() for line in block.group(1).splitlines()]
    lines = [line for line in lines if line]
    return {folder: len(lines) - rank for rank, line in enumerate(lines) for folder in line}


def main():
    rank = read_layers()
    errors = []
    for folder in sorted(path for path in (ROOT / "src").iterdir() if path.is_dir()):
        name = folder.name
        if name not in rank:
            errors.append(f"src/{name}: not in the layer map of HACKING.md")
            continue
        declared = set(re.findall(r"bitloom::(\w+)", (folder / "CMakeLists.txt").read_text())) | {name}
        for file in sorted(folder.rglob("*")):
            if file.suffix not in {".h", ".cc", ".cu", ".inc"}:
                continue
            for number, line in enumerate(file.read_text().splitlines(), 1):
                match = re.match(r'\s*#\s*include\s+"(\w+)/', line)
                if not match or not (ROOT / "src" / match.group(1)).is_dir() or match.group(1) == name:
                    continue
                used, place = match.group(1), f"{file.relative_to(ROOT)}:{number}"
                if rank.get(used, 0) >= rank[name]:
                    errors.append(f"{place}: {name} may not include {used} (imports point down)")
                elif used not in declared:
                    errors.append(f"{place}: {name} includes {used} but its CMakeLists.txt does not declare bitloom::{used}")
    for error in errors:
        print(error)
    print(f"layers: {len(errors)} problem{'s' if len(errors) != 1 else ''}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
