#pragma once
// For tests: random rows of ggml's blocks, and io's exact decoders of them.

#include <algorithm>
#include <iterator>
#include <vector>

#include "base/rng.h"
#include "io/ggml/ggml_types.h"
#include "kernels/guarded.h"
#include "kernels/int_dot/int_dot.h"

namespace bitloom::testing {

inline const BlockKind& kind_of(CodeKind codes) {
  return *std::find_if(std::begin(kBlockKinds), std::end(kBlockKinds),
                       [codes](const BlockKind& kind) { return kind.codes == codes; });
}
inline const GgmlType& type_of(CodeKind codes) {
  return *std::find_if(ggml_types().begin(), ggml_types().end(),
                       [codes](const GgmlType& type) { return type.name == kind_of(codes).name; });
}

/// Where a block's halves lie, and with halves of up to 2 the most that its codes, their middle and its minimum are.
struct Extremes {
  CodeKind codes;
  std::vector<int64_t> halves;
  double most;
};
inline const Extremes& extremes_of(CodeKind codes) {
  static const std::vector<Extremes> kAll = {
      {CodeKind::kQ8_0, {0}, 2 * 256.0},        {CodeKind::kQ4_0, {0}, 2 * 16.0},
      {CodeKind::kQ4_1, {0, 2}, 2 * 17.0},      {CodeKind::kQ5_0, {0}, 2 * 32.0},
      {CodeKind::kQ5_1, {0, 2}, 2 * 33.0},      {CodeKind::kIQ4_NL, {0}, 2 * 256.0},
      {CodeKind::kMXFP4, {}, 256 * 24.0},       {CodeKind::kQ2_K, {80, 82}, 2 * 15 * 4.0},
      {CodeKind::kQ3_K, {108}, 2 * 32 * 8.0},   {CodeKind::kQ4_K, {0, 2}, 2 * 63 * 16.0},
      {CodeKind::kQ5_K, {0, 2}, 2 * 63 * 32.0}, {CodeKind::kQ6_K, {208}, 2 * 128 * 64.0},
      {CodeKind::kIQ4_XS, {0}, 2 * 32 * 256.0},
  };
  return *std::find_if(kAll.begin(), kAll.end(), [codes](const Extremes& e) { return e.codes == codes; });
}

/// Random blocks whose scales are none of infinity, NaN and far apart.
inline GuardedVector<std::byte> random_blocks(CodeKind codes, int64_t blocks, Rng& rng) {
  const auto size = static_cast<size_t>(type_of(codes).block_bytes);
  GuardedVector<std::byte> bytes(static_cast<size_t>(blocks) * size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng.next_u32());
  for (size_t at = 0; at < bytes.size(); at += size) {
    for (const int64_t half : extremes_of(codes).halves) bytes[at + static_cast<size_t>(half) + 1] &= std::byte{0xbf};
    if (codes == CodeKind::kMXFP4) bytes[at] = static_cast<std::byte>(at == 0 ? 0 : 120 + rng.next_u32() % 16);
  }
  return bytes;
}

}  // namespace bitloom::testing
