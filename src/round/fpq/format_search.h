#pragma once
// LLM-FP4's joint search (Liu et al., 2310.16836, FPQ; floating-point page, 8) of formats and clip values, of one input
// x and the matrices that read it, by what they make of a sample of tokens:
//
//   E = sum over the readers' rows n and tokens t of  f_n k_t (sum_c W'_nc x'_tc - sum_c W_nc x_tc)^2
//
// x' is x rounded, W' the weights in one eXmY for the matrix and a scale for each row. Weights and the input are chosen
// in turn, each while the other stays; a row's scale depends on that row alone. A token counts k_t times; f_n is 1 or
// an output's mean squared gradient (a diagonal of the Fisher information, the paper's objective for BERT).
//
// Every candidate costs a product of the sample with the matrix. So by default the second moment's diagonal makes a
// short list,
//
//   of a row:      sum_c mean(x_c^2) (W'_nc - W_nc)^2
//   of the input:  sum_c (sum_n f_n W'_nc^2) sum_t k_t (x'_tc - x_tc)^2
//
// (exact where channels, or errors of channels, are uncorrelated), and products judge the best three of each format
// (with the input's choice so far). A round then takes as long as 19 products of a 4096 x 4096 layer with 2048 tokens
// (AVX-512), where the paper's, which judges all, takes up to 600. E of a normal layer of 512 or 1024
// channels with outliers was 1.4 % below the full search's after a round: neither sees what the other half will do
// next.
//
// What is the same for many candidates is made once: exact outputs; and E for the input that the weights were chosen
// for, which is their own error. Terms of E are squares, so a candidate whose rows so far cost more than all rows of
// another one is given up, which changes nothing.
//
// Goals: any number of readers, some of which may stay as they are; the same for any number of threads. Memory: the
// sample three times, its outputs of all readers (of 512 rows, where weights alone are searched in one format), and 512
// rows of a matrix.

#include <optional>
#include <span>
#include <vector>

#include "base/memory/row_source.h"
#include "base/threads.h"
#include "format/activations/activation_format.h"
#include "round/fpq/candidates.h"
#include "round/target.h"

namespace bitloom {

inline constexpr int64_t kSearchedRows = 512;  // of a matrix, at a time

struct FormatSearch {
  ClipGrid grid = ClipGrid::kClip;
  bool full = false;        // products judge every candidate
  bool all_formats = true;  // of as many bits; else the one that is given
  int64_t rounds = 3;       // weights, then the input; ends early where nothing changes
};

/// Tokens of an input, x [tokens, channels], and how often each counts, k [tokens]; null: once.
struct TokenRows {
  int64_t tokens = 0, channels = 0;
  const float* x = nullptr;
  const double* counts = nullptr;
};

/// A matrix [rows, channels] that reads the input.
struct SearchedMatrix {
  const RowSource* weights = nullptr;
  std::optional<GridTarget> target;  // eXmY with a scale for each row; none: it stays as it is
  std::vector<double> importance;    // f [rows]; empty: ones
};

/// Formats and scales of a matrix.
struct WeightChoice {
  GridTarget target;
  std::vector<float> scales;  // [rows], as they are stored; 0 for a row of zeros
  double error = 0;           // E; without tokens sum (W' - W)^2
};

/// The best weights while the input is rounded to `rounded`, tokens as in `exact`. `squares`: mean(x_c^2) [channels].
/// Without tokens the weights' own errors decide. The matrix's target must be given; its format is the first of equals.
WeightChoice choose_weights(const SearchedMatrix& matrix, const TokenRows& exact, const float* rounded,
                            std::span<const float> squares, const FormatSearch& search, ThreadPool& threads);

struct InputChoice {
  ActivationFormat format;  // with a fixed range, and shifts where the rule has them
  double error = 0;         // E with it, after the last round
  double first_error = 0;   // E with the rule's own format at the largest magnitude, with weights chosen for it
};

/// The best format of the input, which `rule` asks for with -output or -joint. `absmax` [channels]: of all calibration
/// tokens; where all are 0, nothing can be found: nullopt. Error(kFailed) for any other rule.
std::optional<InputChoice> choose_input(const ActivationFormat& rule, const std::vector<SearchedMatrix>& readers,
                                        const TokenRows& tokens, std::span<const float> absmax,
                                        std::span<const float> squares, const FormatSearch& search,
                                        ThreadPool& threads);

}  // namespace bitloom
