"""Golden file for src/tokenize: classes in classes and intersections as Oniguruma has them (the package tokenizers).

Writes to --out (default tests/golden/tokenize):
  class_sets.json  per regex the crc32 of which of the characters of classes.json (which must lie there) it matches ('0', '1')
"""

import argparse
import json
import pathlib
import zlib

from tokenizers import Regex, normalizers

CLASSES = [r"[a-z&&[^aeiou]]", r"[a[bc]]", r"[^a[bc]]", r"[\p{L}&&\p{Han}]", r"[\p{L}\p{N}&&[^\p{Han}]]", r"[^\p{L}&&[^\p{Han}]]",
           r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]", r"[a-m&&f-z&&[^g]]",
           r"[\s&&[^\r\n]]", r"[[:alpha:]&&[^[:upper:]]]", r"[a-c[x-z]&&[b-y]]", r"[[a-z]&&[^[b-d][x]]]", r"[]a&&[^b]]",
           r"[\w&&[^\d_]]", r"[a&&b]", r"[^a&&b]", r"[^[^a]]", r"[\x21-\x7e&&[^[:alnum:]]]", r"[&a-c]", r"[a&b]", r"[\S&&\p{P}]",
           r"(?i)[a-z&&[^aeiou]]", r"[a-z&&[^b-d&&[^c]]]"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="tests/golden/tokenize")
    out = pathlib.Path(parser.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)
    characters = json.loads(pathlib.Path("tests/golden/tokenize/classes.json").read_text())["regex"]["characters"]
    members = {}
    for pattern in CLASSES:
        drop = normalizers.Replace(Regex(pattern), "")
        bits = "".join("01"[drop.normalize_str(chr(c)) == ""] for first, last in characters for c in range(first, last + 1))
        members[pattern] = zlib.crc32(bits.encode())
        print(pattern, bits.count("1"))
    (out / "class_sets.json").write_text(json.dumps(members, indent=0) + "\n")


if __name__ == "__main__":
    main()
