#pragma once
// The two searches of BiLLM over one block of columns (Huang et al. 2024; papers' column-wise page, 4.2, 4.3, 7.5):
// which of its columns are salient, and where the others are split into concentrated and outer weights. Both try every
// candidate on all rows, or on some that stand for them, 16 of them at a time.
//
// With means m and mean absolute deviations a, each weighted by h over the columns of a set, a row's set becomes
//
//   R1:  mu + alpha sign(w - mu),  mu = m(w), alpha = a(w);   error sum h (w - mu)^2 - alpha^2 sum h
//   R2:  R1, and R1 of what it leaves

#include <cstdint>
#include <vector>

#include "base/threads.h"

namespace bitloom {

/// What is binarized in a search. h: by column, what an error costs.
struct SearchBlock {
  int64_t rows = 0, cols = 0;
  const float* w = nullptr;  // [cols, rows]
  std::vector<float> h;
  bool zero_mean = false;  // mu = 0
  int64_t tile_step = 1;   // every so many-th sixteen of rows is searched
};

/// Planes by which each part is binarized while salient columns are counted: R1 or R2.
struct SearchPlanes {
  int salient = 2, others = 1;
};
/// [m]: the error when the first m columns of `ranked` are salient; m from 0 to `most`. The same for any number of
/// threads.
std::vector<double> salient_errors(const SearchBlock& block, const std::vector<int64_t>& ranked, int64_t most,
                                   SearchPlanes planes, ThreadPool& threads);

/// [i]: the error of the columns that are not salient when weights with |w| below thresholds[i] times the row's scale
/// are binarized apart from the others, each by R1. row_scales: [rows], or empty: 1.
std::vector<double> split_errors(const SearchBlock& block, const std::vector<uint8_t>& salient,
                                 const std::vector<float>& thresholds, const std::vector<float>& row_scales,
                                 ThreadPool& threads);

/// Quantiles 0.10, 0.11, ..., 0.90 of |w| over its row's scale. Salient columns are left out, or, as BiLLM's code has
/// it, counted as zeros.
std::vector<float> split_thresholds(const SearchBlock& block, const std::vector<uint8_t>& salient,
                                    const std::vector<float>& row_scales, bool counts_salient);

}  // namespace bitloom
