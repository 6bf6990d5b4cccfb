#pragma once
// For tests only: a matrix, what is learned of it, and values of that.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/memory/dense_matrix.h"
#include "base/rng.h"
#include "pipeline/ranks/ranks.h"
#include "round/round_matrix.h"
#include "tune/learned/parametrisation.h"

namespace bitloom::testing {

inline std::vector<float> normal_numbers(int64_t count, uint64_t stream) {
  Rng rng(5, stream);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(rng.normal());
  return values;
}

/// w [rows, ...] as the target's own method without data rounds it.
inline std::shared_ptr<const StoredMatrix> rounded_matrix(const std::string& text, int64_t rows,
                                                          const std::vector<float>& w, ThreadPool& threads) {
  Ranks alone;
  InputCache cache;
  const RowSourcePtr source = dense_matrix(rows, static_cast<int64_t>(w.size()) / rows, w);
  const RoundingTarget target = parse_target(text);
  return round_matrix(rounding_without_data(target.storage), {"w", *source, target, nullptr, cache, alone, threads})
      .matrix;
}

/// What `values` are given to a parametrisation as.
inline Parametrisation::Values pointers_to(const std::vector<std::vector<float>>& values) {
  Parametrisation::Values pointers;
  for (const std::vector<float>& of : values) pointers.parts.push_back(&of);
  return pointers;
}

/// A matrix and its parts, whose values begin where they do.
struct LearnedMatrix {
  void begin(std::unique_ptr<const Parametrisation> learned) {
    parts = std::move(learned);
    for (const LearnedPart& part : parts->parts()) values.push_back(part.start);
  }
  int64_t rows() const { return matrix->rows(); }
  int64_t cols() const { return matrix->cols(); }
  Parametrisation::Values pointers() const { return pointers_to(values); }
  /// W as the forward pass sees it.
  std::vector<float> dense() {
    std::vector<float> w = parts->unscaled(pointers(), threads);
    for (int64_t r = 0; r < rows(); ++r) parts->scale_row(pointers(), r, w.data() + r * cols());
    return w;
  }
  /// By place in parts, of g = dL/dW.
  std::vector<std::vector<double>> gradients(const std::vector<float>& g) {
    const std::vector<float> v = parts->unscaled(pointers(), threads);
    std::vector<std::vector<double>> of;
    Parametrisation::Sums sums;
    for (const std::vector<float>& part : values) of.emplace_back(part.size());
    for (std::vector<double>& part : of) sums.push_back(part.data());
    parts->add_gradient(pointers(), {0, rows(), g.data()}, v.data(), sums);
    return of;
  }
  std::shared_ptr<const StoredMatrix> stored() const { return parts->store("w", matrix, pointers()); }

  ThreadPool threads{2};
  std::shared_ptr<const StoredMatrix> matrix;
  std::unique_ptr<const Parametrisation> parts;
  std::vector<std::vector<float>> values;
};

}  // namespace bitloom::testing
