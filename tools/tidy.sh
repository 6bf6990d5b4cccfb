#!/bin/sh
# clang-tidy over every source, or over those given: shows what was found and fails if there is anything.
set -eu
cd "$(dirname "$0")/.."
for program in clang++ clang-tidy; do
  command -v "$program" >/dev/null || { echo "tidy: needs $program: apt-get install clang clang-tidy libomp-dev" >&2; exit 1; }
done
mkdir -p build
cmake --preset tidy >build/configure-tidy.log 2>&1 || { cat build/configure-tidy.log; exit 1; }
sources=${*:-$(find src tests -name '*.cc')}
log=build/tidy.log
# The grep drops clang-tidy's counts of findings in foreign headers.
status=0
# shellcheck disable=SC2086  # a list of words
printf '%s\n' $sources | xargs -n 4 -P "$(nproc)" clang-tidy --quiet -p build/tidy >"$log" 2>&1 || status=$?
grep -v '^[0-9]* warnings\{0,1\} \(generated\|treated\)' "$log" || true
[ "$status" = 0 ] || { echo "tidy: findings above" >&2; exit 1; }
echo "tidy: no findings in $(echo "$sources" | wc -w) sources"
