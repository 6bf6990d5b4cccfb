#pragma once
// What is added to a base, each term optional. The base is stored in an order of columns of its own; the product and
// the outliers are W's columns; all of them lie in the frame's coordinates:
//
//   W = frame(order(base) + A B + outliers)
//
// To add a term: a file pair here with its storage and its SideView, a member in its place, a row in side_terms.cc.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "format/side/column_order.h"
#include "format/side/frame.h"
#include "format/side/low_rank.h"
#include "format/side/outliers.h"
#include "format/side/side_view.h"

namespace bitloom {

/// In the order in which they apply, and are printed.
struct SideTerms {
  ColumnOrderStorage order;
  LowRankStorage low_rank;
  OutlierStorage outliers;
  FrameStorage frame;
  bool operator==(const SideTerms&) const = default;
};

/// One term without its '+' ("outliers0.001"), into `terms`. `whole` is quoted in messages. Error(kUsage) for an
/// unknown term, one that means nothing, one that `terms` has already.
void parse_side_term(std::string_view text, std::string_view whole, SideTerms& terms);
/// Whether `text` begins as a term does: "outliers0.001", "frame-in512".
bool is_side_term(std::string_view text);
/// "+outliers0.001", or "" when there is none.
std::string to_string(const SideTerms& terms);

/// Bits per weight as papers count them.
double nominal_bits(const SideTerms& terms, int64_t rows, int64_t cols);
/// Their parts for a [rows, cols] matrix, each at its greatest, in the order of terms.
std::vector<TensorPart> greatest_parts(const SideTerms& terms, int64_t rows, int64_t cols);
/// Whether every matrix of one shape has just these sizes.
bool sizes_are_fixed(const SideTerms& terms);

/// The terms of a matrix, in the order in which they apply, over parts that somebody else owns and that belong to the
/// base too. Error(kRefused), starting with `name`, for parts that are missing or do not fit.
std::vector<std::unique_ptr<const SideView>> open_side_terms(const std::string& name, const SideTerms& terms,
                                                             int64_t rows, int64_t cols,
                                                             const std::vector<TensorPart>& parts);

}  // namespace bitloom
