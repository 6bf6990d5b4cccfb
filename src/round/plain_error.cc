#include "round/plain_error.h"

#include <utility>
#include <vector>

#include "base/memory/dense_matrix.h"
#include "base/ranks.h"
#include "base/rng.h"
#include "round/fitted/fit_format.h"
#include "round/round_matrix.h"

namespace bitloom {

PlainError plain_error(const RowSource& w, const RoundingTarget& target, ThreadPool& threads) {
  InputCache cache;
  Ranks alone;
  const RowSource* const matrices[] = {&w};
  const RoundingProblem problem{"weights", w, fitted_target(target, matrices, threads), nullptr, cache, alone, threads};
  const Rounded rounded = round_matrix(rounding_without_data(target.storage), problem);
  return {rounded.report.weight_error, rounded.matrix->true_bits()};
}

PlainError plain_error_of_normal(const RoundingTarget& target, int64_t rows, int64_t cols, ThreadPool& threads) {
  constexpr uint64_t kStream = 0x6e6f726d;
  Rng rng(0, kStream);
  std::vector<float> values(static_cast<size_t>(rows * cols));
  for (float& value : values) value = static_cast<float>(rng.normal());
  return plain_error(DenseMatrix(rows, cols, std::move(values)), without_frame(target), threads);
}

}  // namespace bitloom
