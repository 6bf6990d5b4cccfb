#pragma once
// Two models on the same items: what the second loses against the first, with the pairing kept. Items that both get
// right, or both wrong, say nothing about a difference, so a paired test sees losses that two intervals side by side
// hide.

#include <cstdint>
#include <span>

namespace bitloom {

/// Exact McNemar test (McNemar 1947, with the binomial in place of chi squared). Under the null hypothesis an item on
/// which the two disagree goes either way with probability 1/2: with n = only_reference + only_model and
/// k = min(only_reference, only_model),
///   p = min(1, 2 sum_{i <= k} C(n, i) / 2^n)       (two-sided)
struct McNemar {
  int64_t both = 0, only_reference = 0, only_model = 0, neither = 0;  // items that were right for whom
  double p_value = 1;
};

/// `reference` and `model` are 1 where the item was right, else 0: the same items in the same order.
/// Error(kFailed) when their numbers differ.
McNemar mcnemar(std::span<const uint8_t> reference, std::span<const uint8_t> model);

/// The p-value alone, of the two counts of disagreements (each >= 0).
double mcnemar_p_value(int64_t only_reference, int64_t only_model);

/// Mean of d_i = model_i - reference_i over n items, for scores of any kind:
///   s.e. = sqrt(sum (d_i - mean)^2 / (n (n - 1))),   low, high = mean -+ t_{0.975, n-1} s.e.
struct PairedDifference {
  int64_t items = 0;
  double mean = 0, standard_error = 0, low = 0, high = 0;  // of a single item: low = high = mean
};

/// Error(kFailed) when the numbers of items differ or there are none.
PairedDifference paired_difference(std::span<const double> reference, std::span<const double> model);

}  // namespace bitloom
