#!/usr/bin/env python3
"""Installs the library into a folder of its own, builds examples/ against it, and runs them.

usage: examples.py BUILD PROGRAM. Each example must print what the program prints for the same text.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODEL, TEXT = str(ROOT / "assets/demo"), "Once upon a time"


def run(*command, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def exported(library):
    """Symbols that the library gives out, without their versions."""
    lines = run("nm", "-D", "--defined-only", library).splitlines()
    return {line.split()[-1].split("@")[0] for line in lines}


def main(build, program):
    expected = TEXT + run(program, "run", MODEL, "-p", TEXT, "--temp", "0", "-n", "32")
    with tempfile.TemporaryDirectory() as folder:
        prefix, examples = pathlib.Path(folder) / "prefix", pathlib.Path(folder) / "examples"
        run("cmake", "--install", build, "--prefix", prefix, "--component", "library")
        headers = sorted(file.name for file in (prefix / "include/bitloom").iterdir())
        assert headers == ["bitloom.h", "bitloom.hpp"], headers
        library = next(prefix.rglob("libbitloom.so"))
        foreign = {name for name in exported(library) if not name.startswith("bitloom_")}
        assert not foreign, f"{library} gives out {sorted(foreign)[:5]} and more"
        run("cmake", "-S", ROOT / "examples", "-B", examples, "-D", f"CMAKE_PREFIX_PATH={prefix}")
        run("cmake", "--build", examples)
        where = os.environ | {"BITLOOM_LIBRARY": str(library)}
        for command in ([examples / "generate_cc"], [examples / "generate_c"],
                        [sys.executable, ROOT / "examples/generate.py"]):
            text = run(*command, MODEL, TEXT, env=where)
            assert text == expected, f"{command[-1]} printed {text!r}, the program {expected!r}"
            wrong = subprocess.run([*command, "no/model", TEXT], env=where, capture_output=True, text=True)
            assert wrong.returncode != 0 and "no/model" in wrong.stderr, wrong
            long = subprocess.run([*command, MODEL, "word " * 5000], env=where, capture_output=True, text=True)
            assert long.returncode > 0 and long.stderr.startswith("error: "), (long.returncode, long.stderr)
        found = {name: value for name, value in os.environ.items() if name != "BITLOOM_LIBRARY"}
        paths = [str(library.parent), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        found["LD_LIBRARY_PATH"] = os.pathsep.join(paths)
        text = run(sys.executable, ROOT / "examples/generate.py", MODEL, TEXT, env=found)
        assert text == expected, f"by the library's name: {text!r}"


main(*sys.argv[1:])
