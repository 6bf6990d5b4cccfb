#pragma once
// For tests and benchmarks: a product of random additive codes with random vectors.

#include <cmath>
#include <random>
#include <vector>

#include "format/families/vector/vector_matrix.h"
#include "kernels/guarded.h"
#include "kernels/vector_dot/vector_dot.h"

namespace bitloom::testing {

struct RandomVectorDot {
  VectorStorage storage;
  std::vector<uint16_t> codes;           // [rows, groups, M]
  std::vector<float> codebooks, scales;  // numbers of fp16
  std::vector<GuardedVector<std::byte>> parts;
  GuardedVector<float> columns, x, y;
  GuardedVector<std::byte> scratch;
  VectorDotCall call;

  RandomVectorDot(const RandomVectorDot&) = delete;

  /// fixed_code: of all places; else all occur.
  RandomVectorDot(int64_t codebook_count, int64_t group, int64_t rows, int64_t cols, int64_t tokens, bool exact,
                  uint32_t seed, int fixed_code = -1, int bits = 8)
      : storage{codebook_count, bits, group} {
    const int64_t entries = storage.entries();
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const int64_t groups = (cols + group - 1) / group;
    for (int64_t i = 0; i < rows * groups * codebook_count; ++i) {
      codes.push_back(static_cast<uint16_t>(fixed_code >= 0 ? fixed_code : random() % static_cast<uint32_t>(entries)));
    }
    for (int64_t i = 0; i < codebook_count * entries * group; ++i) codebooks.push_back(finite_f16(normal(random)));
    for (int64_t i = 0; i < rows; ++i) scales.push_back(finite_f16(0.5f + std::abs(normal(random))));
    parts = guarded(pack_vectors(storage, rows, cols, codes, codebooks, scales));
    columns.resize(codebooks.size());
    for (int64_t m = 0; m < codebook_count; ++m) {
      for (int64_t k = 0; k < entries; ++k) {
        for (int64_t t = 0; t < group; ++t) {
          columns[static_cast<size_t>((m * group + t) * entries + k)] =
              codebooks[static_cast<size_t>((m * entries + k) * group + t)];
        }
      }
    }
    x = guarded<float>(tokens * cols, [&] { return normal(random); });
    y.assign(static_cast<size_t>(tokens * rows), std::nanf(""));
    call.w = {parts[0].data(), columns.data(), parts[2].data(), rows, cols, codebook_count, group, bits};
    call.last = (rows + kVectorRows - 1) / kVectorRows, call.tokens = tokens, call.exact = exact;
    call.x = x.data(), call.y = y.data(), call.y_stride = rows;
    scratch = guarded_scratch(vector_dot_scratch(call.w));
    call.scratch = scratch.data();
  }
};

}  // namespace bitloom::testing
