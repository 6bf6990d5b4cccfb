#pragma once
// Side term "low rank": a product of two thin matrices is added, as low-rank compensation of the rounding error makes
// it (LoRC; Yao et al. 2023, ZeroQuant-V2, section 5: A = U_r sqrt(S_r), B = sqrt(S_r) V_r^T of the error's SVD).
//
//   W += A B,   A [rows, r], B [r, cols],   r = min(rank, rows, cols)
//
// Each factor is stored as a matrix of r rows, A transposed, so that a scale per row is one per component, as the
// paper recommends. Parts, for W [rows, cols]:
//   .low_a*   the parts of A^T [r, rows] in the factors' storage: .low_a.codes, .low_a.scales, ...
//   .low_b*   those of B [r, cols]

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "format/base_storage.h"
#include "format/side/side_view.h"

namespace bitloom {

struct LowRankStorage {
  int64_t rank = 0;     // at most; 0: no such side term
  BaseStorage factors;  // of both
  bool present() const { return rank > 0; }
  bool operator==(const LowRankStorage&) const = default;
};

/// "lowrank8-int8-row": the rank, and how factors are stored. `whole` is quoted in messages: Error(kUsage) for a rank
/// outside 1 to 65536, or a storage that means nothing.
LowRankStorage parse_low_rank(std::string_view text, std::string_view whole);
std::string to_string(const LowRankStorage& storage);

/// Rank of a [rows, cols] matrix: no more than either side, since that corrects every error.
int64_t rank_of(const LowRankStorage& storage, int64_t rows, int64_t cols);

/// The factors' nominal bits over the matrix's weights.
double nominal_bits(const LowRankStorage& storage, int64_t rows, int64_t cols);
std::vector<TensorPart> greatest_parts(const LowRankStorage& storage, int64_t rows, int64_t cols);
inline bool sizes_are_fixed(const LowRankStorage& storage) { return storage.factors.has_fixed_sizes(); }

/// Error(kRefused), starting with `name` and the factor: parts that are missing or do not fit.
std::unique_ptr<const SideView> open_side(const std::string& name, const LowRankStorage& storage, int64_t rows,
                                          int64_t cols, const std::vector<TensorPart>& parts);

}  // namespace bitloom
