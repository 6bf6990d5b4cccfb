#pragma once
// LLM-FP4's weights (Liu et al., 2310.16836, FPQ) as a method of recipes: one eXmY of the target's bits for the matrix
// and a scale for each row, chosen by what the layer makes of a sample of tokens, rounded as the input will be
// (round/fpq/format_search.h). The input's own format is found before, by the same search, where its rule is -output or
// -joint (format/activations/activation_format.h).
//
// Goals: the paper's search and a cheaper one of nearly its loss. Non-goals: other granularities than rows.

#include <string>

#include "round/fpq/format_search.h"
#include "round/rounding.h"

namespace bitloom {

/// Recipes call it "fpq".
struct FpqRounding {
  enum class Search {
    kShortList,
    kFull,     // the paper's
    kWeights,  // by the weights' own errors, without data: the paper's embeddings
  } search = Search::kShortList;
  ClipGrid grid = ClipGrid::kClip;
  enum class Formats { kAll, kGiven } formats = Formats::kAll;
  int64_t rounds = 3;
  int64_t tokens = 512;
  bool fisher = false;  // outputs weighted by their mean squared gradients
  bool operator==(const FpqRounding&) const = default;
};
extern const RoundingRow kFpqMethod;
Needs needs_of(const FpqRounding& options);
/// A grid of eXmY with a scale for each row, without side terms.
bool rounds_onto(const FpqRounding& options, const Storage& storage);
Storage storage_by(const FpqRounding& options, Storage wanted);
RoundingCost cost_of(const FpqRounding& options, const RoundingShape& shape);
Rounded round_by(const FpqRounding& options, const RoundingProblem& problem);

/// Why the options do not go together; "" where they do.
std::string clash_of(const FpqRounding& options);

/// The search that the options ask for.
FormatSearch search_of(const FpqRounding& options);

/// Matrices that read an input whose format is searched.
struct SearchedReaders {
  int64_t rows = 0;         // of all of them
  int64_t chosen_rows = 0;  // of those whose weights are chosen in turn with the input
  int weight_bits = 4;      // of these
};
/// What choose_input() takes for an input of so many channels with this rule, on so many tokens of its sample: beside
/// sample and matrices three times these tokens, their outputs of all readers, and 512 rows of a matrix before and
/// after, with their outputs.
RoundingCost cost_of_input(const FpqRounding& options, const ActivationFormat& rule, const SearchedReaders& readers,
                           int64_t channels, int64_t tokens);

}  // namespace bitloom
