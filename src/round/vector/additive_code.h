#pragma once
// A matrix in additive codes while they are being found, and how its errors count.
//
//   What(r, j G + c) = scale(r) sum_m C[m, code(r, j, m), c]
//   L = sum over rows of e H e^T,   e a row of What - W,   R = (What - W) H
//
// Columns are padded to whole groups; there W and H are 0.

#include <cstdint>
#include <span>
#include <vector>

#include "base/threads.h"
#include "format/families/vector/vector_storage.h"

namespace bitloom {

struct AdditiveCode {
  VectorStorage storage;
  int64_t rows = 0, groups = 0;
  std::vector<uint16_t> codes;   // [rows, groups, M]
  std::vector<float> codebooks;  // [M, 2^B, G]
  std::vector<float> scales;     // [rows]

  int64_t width() const { return groups * storage.group; }
  int64_t book_size() const { return storage.entries() * storage.group; }
  const float* entry(int64_t codebook, int64_t code) const {
    return codebooks.data() + codebook * book_size() + code * storage.group;
  }
  uint16_t* codes_of(int64_t row, int64_t group) { return codes.data() + (row * groups + group) * storage.codebooks; }
  const uint16_t* codes_of(int64_t row, int64_t group) const {
    return codes.data() + (row * groups + group) * storage.codebooks;
  }
};

/// out [width]: the sums of a row's vectors, taken from `codebooks` [M, 2^B, G], without its scale.
void sum_of_vectors(const AdditiveCode& code, std::span<const float> codebooks, int64_t row, float* out);

/// H [width, width]; without values the identity.
struct LayerMoment {
  int64_t width = 0;
  std::vector<float> h;
  bool is_identity() const { return h.empty(); }
  float at(int64_t i, int64_t j) const {
    return is_identity() ? (i == j ? 1.0f : 0.0f) : h[static_cast<size_t>(i * width + j)];
  }
};

/// out [rows, width] = e H. `out` may not be `e`.
void times_moment(const LayerMoment& moment, int64_t rows, const float* e, float* out, ThreadPool& threads);

/// residual [rows, width] = R from nothing, with W [rows, width]; the loss of each row, summed in fp64. `error` is
/// scratch of the same size.
std::vector<double> find_residual(const AdditiveCode& code, const LayerMoment& moment, std::span<const float> w,
                                  std::vector<float>& error, std::vector<float>& residual, ThreadPool& threads);

/// The sum in the order of rows.
double total(std::span<const double> losses);

}  // namespace bitloom
