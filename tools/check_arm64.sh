#!/bin/sh
# Builds the program that runs models only for 64-bit ARM, with the tests of its kernels, and runs both under QEMU: what the program
# says must be what that of this machine says.
set -eu
cd "$(dirname "$0")/.."
tools/get_arm64.sh
cmake --preset arm64 >build/arm64-configure.log || { cat build/arm64-configure.log; exit 1; }
cmake --build --preset arm64
ctest --preset arm64 -j "$(nproc)"
for isa in portable neon neondot neoni8mm; do
  for model in assets/demo build/arm64/demo-int4; do
    [ "$model" = assets/demo ] || [ -d "$model" ] || build/release/bitloom quantize assets/demo "$model" --recipe int4-g32 >/dev/null 2>&1
    said=$(BITLOOM_ISA=$isa qemu-aarch64-static build/arm64/bitloom run "$model" --exact --temp 0 -n 48 -p "Once upon a time" 2>/dev/null)
    expected=$(BITLOOM_ISA=portable build/release/bitloom run "$model" --exact --temp 0 -n 48 -p "Once upon a time" 2>/dev/null)
    if [ -z "$said" ] || [ "$said" != "$expected" ]; then
      printf 'arm64: %s with BITLOOM_ISA=%s says\n%s\nthis machine says\n%s\n' "$model" "$isa" "$said" "$expected"
      exit 1
    fi
  done
done
echo "arm64: $(stat -c %s build/arm64/bitloom) bytes; kernels' tests pass, portable, neon, neondot and neoni8mm say what this machine says"
