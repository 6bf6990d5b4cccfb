#!/usr/bin/env python3
"""Builds the program that runs models only and checks it: one static file of less than 10 MB, which says what the full
program (build/release/bitloom) says."""
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FULL, RUN_ONLY = ROOT / "build/release/bitloom", ROOT / "build/run-only/bitloom"
MODEL, TEXT = "assets/demo", ["-f", "assets/demo/evaluation.txt", "--windows", "8", "--json"]
MOST_BYTES = 10_000_000
# The products differ by the order of fp32 sums alone.
TOLERANCE = 1e-4


def run(*command):
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def both(*arguments):
    return run(FULL, *arguments), run(RUN_ONLY, *arguments)


def expect(condition, what):
    if not condition:
        sys.exit(f"run-only: {what}")


def check_file():
    size = RUN_ONLY.stat().st_size
    expect(size < MOST_BYTES, f"{RUN_ONLY} has {size} bytes, must be less than {MOST_BYTES}")
    ldd = subprocess.run(["ldd", RUN_ONLY], capture_output=True, text=True)
    expect("not a dynamic executable" in ldd.stdout + ldd.stderr, f"ldd says {ldd.stdout}{ldd.stderr}")
    return size


def check_figures(directory):
    for model in (MODEL, directory):
        for flags in ([], ["--exact"]):
            expected, text = both("run", model, "-p", "Once upon a time", "--temp", "0", "-n", "48", *flags)
            expect(text == expected, f"run {model} {flags} gives {text!r}, the full program {expected!r}")
    for verb, key in (["ppl", MODEL], "ppl"), (["ppl", directory], "ppl"), (["kl", directory, "--ref", MODEL], "kl_mean"):
        expected, found = (json.loads(text)[key] for text in both("eval", *verb, *TEXT))
        print(f"run-only: eval {' '.join(verb)}: {key} {found}, full program {expected}")
        expect(abs(found - expected) <= TOLERANCE * abs(expected), f"eval {verb}: {key} {found}, must be {expected}")


def main():
    run("cmake", "--preset", "run-only")
    run("cmake", "--build", "build/run-only", "--target", "bitloom")
    size = check_file()
    with tempfile.TemporaryDirectory() as folder:
        directory = str(pathlib.Path(folder) / "int4")
        run(FULL, "quantize", MODEL, directory, "--recipe", "int4-g32")
        check_figures(directory)
    print(f"run-only: {size} bytes, static, figures as the full program's")


main()
