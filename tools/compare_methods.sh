#!/bin/sh
# Quantizes a model by every method at several bit widths, measures each, and prints a Markdown table:
#
#     tools/compare_methods.sh MODEL EVALUATION_TEXT [CALIBRATION_TEXT]
#
# FORMATS, METHODS, SAMPLES, SEQ, RULE, CALIB_FORMAT, CONTEXT and WINDOWS in the environment change what is compared. Finished cells are
# kept under build/compare and not made again.
set -eu
cd "$(dirname "$0")/.."
model=$1 text=$2 calibration=${3:-}
formats=${FORMATS:-int4-g64 int3-g64 int2-g64}
methods=${METHODS:-nearest mse gptq:natural gptq gptq:act-order gptaq adaround hadamard+gptq awq awq+gptq}
samples=${SAMPLES:-16} seq=${SEQ:-1024} context=${CONTEXT:-512} windows=${WINDOWS:-10}
bitloom=${BITLOOM:-build/release/bitloom}
out=build/compare/$(basename "$model")
mkdir -p "$out"
reference=$out/reference-$context-$windows.kl

recipe_of() {  # method, format -> recipe
  case $1 in
    nearest) echo "$2" ;;
    mse) echo "$2-mse" ;;
    *) echo "$1+$2" ;;
  esac
}

figure() {  # file, key
  python3 -c "import json,sys; v=json.load(open(sys.argv[1]))[sys.argv[2]]; print(v if not isinstance(v, list) else (v[1] - v[0]) / 2)" "$1" "$2"
}

echo "| method | format | bits true | KL to original | same top-1 | perplexity | seconds |"
echo "|---|---|--:|--:|--:|--:|--:|"
for format in $formats; do
  for method in $methods; do
    recipe=$(recipe_of "$method" "$format")
    cell=$out/$(echo "$recipe" | tr ':+,=' '____')-$samples-$seq
    if [ ! -s "$cell.kl.json" ]; then
      # shellcheck disable=SC2086  # the calibration flag is two words or none
      "$bitloom" quantize "$model" "$cell" --recipe "$recipe" --force --json --samples "$samples" --seq "$seq" \
        --calib-rule "${RULE:-gptq}" ${calibration:+--calib "$calibration" --calib-format "${CALIB_FORMAT:-plain}"} >"$cell.json" 2>"$cell.log"
      if [ -s "$reference" ]; then ref=$reference save=; else ref=$model save="--save-ref $reference"; fi
      "$bitloom" eval kl "$cell" --ref "$ref" $save --text "$text" -c "$context" --windows "$windows" --json \
        >"$cell.kl.json" 2>>"$cell.log"
      rm -rf "$cell"
    fi
    printf '| %s | %s | %.2f | %.4f ± %.4f | %.1f %% | %.2f | %.0f |\n' "$method" "$format" \
      "$(figure "$cell.json" bits_true)" "$(figure "$cell.kl.json" kl_mean)" "$(figure "$cell.kl.json" kl_ci95)" \
      "$(python3 -c "print(100 * $(figure "$cell.kl.json" top1))")" "$(figure "$cell.kl.json" ppl)" \
      "$(figure "$cell.json" seconds)"
  done
done
