#!/bin/sh
# OpenAI's Python client for the tests of "bitloom serve", in build/openai.
set -eu
cd "$(dirname "$0")/.."
venv=build/openai
if [ ! -f "$venv/ready" ] || [ tests/serve/requirements.txt -nt "$venv/ready" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" --quiet --disable-pip-version-check install -r tests/serve/requirements.txt
  touch "$venv/ready"
fi
