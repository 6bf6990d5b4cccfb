#include "format/side/side_terms.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

/// How a term is spelled and opened.
struct SideRow {
  std::string_view word;   // it begins with
  std::string_view shape;  // for messages
  bool (*present)(const SideTerms& terms);
  bool (*sizes_are_fixed)(const SideTerms& terms);
  void (*parse)(std::string_view text, std::string_view whole, SideTerms& terms);
  std::string (*to_string)(const SideTerms& terms);
  double (*nominal_bits)(const SideTerms& terms, int64_t rows, int64_t cols);
  std::vector<TensorPart> (*greatest_parts)(const SideTerms& terms, int64_t rows, int64_t cols);
  std::unique_ptr<const SideView> (*open)(const std::string& name, const SideTerms& terms, int64_t rows, int64_t cols,
                                          const std::vector<TensorPart>& parts);
};

/// The row of a member of SideTerms, whose functions are overloads for its type.
template <auto kMember, auto kParse>
constexpr SideRow side_row(std::string_view word, std::string_view shape) {
  return {
      .word = word,
      .shape = shape,
      .present = [](const SideTerms& terms) { return (terms.*kMember).present(); },
      .sizes_are_fixed = [](const SideTerms& terms) { return sizes_are_fixed(terms.*kMember); },
      .parse = [](std::string_view text, std::string_view whole,
                  SideTerms& terms) { terms.*kMember = kParse(text, whole); },
      .to_string = [](const SideTerms& terms) { return to_string(terms.*kMember); },
      .nominal_bits = [](const SideTerms& terms, int64_t rows,
                         int64_t cols) { return nominal_bits(terms.*kMember, rows, cols); },
      .greatest_parts = [](const SideTerms& terms, int64_t rows,
                           int64_t cols) { return greatest_parts(terms.*kMember, rows, cols); },
      .open = [](const std::string& name, const SideTerms& terms, int64_t rows, int64_t cols,
                 const std::vector<TensorPart>& parts) { return open_side(name, terms.*kMember, rows, cols, parts); },
  };
}

/// In the order in which they apply.
constexpr SideRow kSideRows[] = {
    side_row<&SideTerms::order, parse_column_order>("order", "order"),
    side_row<&SideTerms::low_rank, parse_low_rank>("lowrank", "lowrankR-STORAGE"),
    side_row<&SideTerms::outliers, parse_outliers>("outliers", "outliersS"),
    side_row<&SideTerms::frame, parse_frame>("frame", "frame-inN-outN-seedS-inscales-outscales"),
};

std::vector<std::string> shapes() {
  std::vector<std::string> names;
  for (const SideRow& row : kSideRows) names.emplace_back(row.shape);
  return names;
}

}  // namespace

void parse_side_term(std::string_view text, std::string_view whole, SideTerms& terms) {
  for (const SideRow& row : kSideRows) {
    if (!text.starts_with(row.word)) continue;
    if (row.present(terms)) misuse("\"+{}\" in \"{}\" repeats a side term", text, whole);
    return row.parse(text, whole, terms);
  }
  misuse("unknown side term \"+{}\" in \"{}\"; side terms are +{}{}", text, whole, fmt::join(shapes(), " +"),
         did_you_mean(text, shapes()));
}

bool is_side_term(std::string_view text) {
  return std::any_of(std::begin(kSideRows), std::end(kSideRows),
                     [text](const SideRow& row) { return text.starts_with(row.word); });
}

std::string to_string(const SideTerms& terms) {
  std::string text;
  for (const SideRow& row : kSideRows) {
    if (row.present(terms)) text += "+" + row.to_string(terms);
  }
  return text;
}

double nominal_bits(const SideTerms& terms, int64_t rows, int64_t cols) {
  double bits = 0;
  for (const SideRow& row : kSideRows) {
    if (row.present(terms)) bits += row.nominal_bits(terms, rows, cols);
  }
  return bits;
}

std::vector<TensorPart> greatest_parts(const SideTerms& terms, int64_t rows, int64_t cols) {
  std::vector<TensorPart> parts;
  for (const SideRow& row : kSideRows) {
    if (!row.present(terms)) continue;
    for (TensorPart& part : row.greatest_parts(terms, rows, cols)) parts.push_back(std::move(part));
  }
  return parts;
}

bool sizes_are_fixed(const SideTerms& terms) {
  for (const SideRow& row : kSideRows) {
    if (row.present(terms) && !row.sizes_are_fixed(terms)) return false;
  }
  return true;
}

std::vector<std::unique_ptr<const SideView>> open_side_terms(const std::string& name, const SideTerms& terms,
                                                             int64_t rows, int64_t cols,
                                                             const std::vector<TensorPart>& parts) {
  std::vector<std::unique_ptr<const SideView>> views;
  for (const SideRow& row : kSideRows) {
    if (row.present(terms)) views.push_back(row.open(name, terms, rows, cols, parts));
  }
  return views;
}

}  // namespace bitloom
