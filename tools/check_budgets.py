#!/usr/bin/env python3
"""Fails when the code outgrows its budgets: lengths of files and functions, nesting, recipes.

Measured on hand-written C++ under src/. Medians and percentiles leave tests out; hard limits hold for all files.
Functions are found by their braces, after comments and literals are blanked; a lambda counts as part of its function.
"""
import pathlib
import re
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILE_MEDIAN, FILE_P90, FILE_MAX = 120, 450, 800
FUNCTION_P90, FUNCTION_P99, FUNCTION_MAX, NESTING_MAX = 30, 100, 150, 4
RECIPE_MAX = 40

LITERALS = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'', re.S)
CONTROL = re.compile(r"\b(if|for|while|switch|catch|do|else|try)\b")
SIGNATURE = re.compile(r"\)\s*(const|noexcept|override|final|mutable|->[^;{}]*|:[^;{}]*|\s)*$", re.S)


def blank(text):
    """Comments and literals as spaces, line breaks kept."""
    return LITERALS.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def functions(text):
    """(first line, lines, deepest nesting of control blocks) of every function body."""
    text = re.sub(r"^[ \t]*#[^\n]*(?:\\\n[^\n]*)*", lambda m: re.sub(r"[^\n]", " ", m.group(0)), blank(text), flags=re.M)
    found, stack, start = [], [], 0
    for at, char in enumerate(text):
        if char in ";{}":
            head = text[start:at]
            start = at + 1
        if char == "{":
            inside = any(kind == "function" for kind, *_ in stack)
            if inside:
                kind = "control" if CONTROL.search(head) else "other"
            elif SIGNATURE.search(head) and not re.search(r"\b(class|struct|enum|namespace|union)\b[^()]*$", head) and "=" not in re.sub(r"operator\s*\S+|[=!<>]=|\([^()]*\)", "", head):
                kind = "function"
            else:
                kind = "other"
            first = at - len(head.lstrip()) if kind == "function" else at
            stack.append([kind, first, 0])
            depth = sum(1 for k, *_ in stack if k == "control")
            for entry in stack:
                entry[2] = max(entry[2], depth)
        elif char == "}" and stack:
            kind, first, depth = stack.pop()
            if kind == "function":
                found.append((text.count("\n", 0, first) + 1, text.count("\n", first, at) + 1, depth))
    return found


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0


def main():
    errors, files, lengths = [], [], []
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix not in {".h", ".cc", ".cu", ".inc"}:
            continue
        text, name = path.read_text(), path.relative_to(ROOT)
        lines, is_test = text.count("\n"), path.stem.endswith(("_test", "_bench"))
        if lines > FILE_MAX:
            errors.append(f"{name}: {lines} lines, at most {FILE_MAX}")
        if not is_test:
            files.append(lines)
        for line, length, depth in functions(text):
            if length > FUNCTION_MAX:
                errors.append(f"{name}:{line}: function of {length} lines, at most {FUNCTION_MAX}")
            if depth > NESTING_MAX:
                errors.append(f"{name}:{line}: control blocks nested {depth} deep, at most {NESTING_MAX}")
            if not is_test:
                lengths.append(length)
    for path in sorted((ROOT / "recipes").glob("*.yaml")):
        lines = path.read_text().count("\n")
        if lines > RECIPE_MAX:
            errors.append(f"recipes/{path.name}: {lines} lines, at most {RECIPE_MAX}")
    figures = [
        ("file median", statistics.median(files), FILE_MEDIAN),
        ("file p90", percentile(files, 0.9), FILE_P90),
        ("function p90", percentile(lengths, 0.9), FUNCTION_P90),
        ("function p99", percentile(lengths, 0.99), FUNCTION_P99),
    ]
    for what, value, limit in figures:
        if value > limit:
            errors.append(f"{what} is {value:g} lines, at most {limit}")
    for error in errors:
        print(error)
    summary = ", ".join(f"{what} {value:g}" for what, value, _ in figures)
    print(f"budgets: {len(files)} files, {len(lengths)} functions, {summary}: {len(errors)} problem{'s' if len(errors) != 1 else ''}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
