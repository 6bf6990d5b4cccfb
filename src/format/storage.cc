#include "format/storage.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/text.h"

namespace bitloom {
namespace {

/// How a family's spelling is recognised and read.
struct FamilyRow {
  bool (*claims)(std::string_view text);
  BaseStorage (*parse)(std::string_view text, std::vector<std::string>* others);
};

/// The grid comes last: its message for an unknown name is the one for all.
constexpr FamilyRow kFamilies[] = {
    {is_codebook_spelling,
     [](std::string_view text, std::vector<std::string>* others) -> BaseStorage {
       return parse_codebook(text, others);
     }},
    {[](std::string_view) { return true; },
     [](std::string_view text, std::vector<std::string>* others) -> BaseStorage { return parse_grid(text, others); }},
};

/// Where the side terms begin: a '+' before a letter, since one before a digit is an exponent's.
size_t side_of(std::string_view text) {
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    if (text[i] == '+' && text[i + 1] >= 'a' && text[i + 1] <= 'z') return i;
  }
  return std::string_view::npos;
}

}  // namespace

Storage parse_storage(std::string_view text, std::vector<std::string>* others) {
  Storage storage;
  const size_t plus = side_of(text);
  const std::string_view base = text.substr(0, plus);
  const auto* family =
      std::find_if(std::begin(kFamilies), std::end(kFamilies), [&](const FamilyRow& row) { return row.claims(base); });
  storage.base = family->parse(base, others);
  if (plus == std::string_view::npos) return storage;
  storage.side.outliers = parse_outliers(text.substr(plus + 1), text);
  return storage;
}

std::string to_string(const Storage& storage) {
  std::string text = std::visit([](const auto& base) { return to_string(base); }, storage.base);
  if (storage.side.outliers.present()) text += "+" + to_string(storage.side.outliers);
  return text;
}

std::vector<std::string> storage_option_names(const Storage& storage) {
  return std::holds_alternative<GridStorage>(storage.base) ? grid_option_names() : codebook_option_names();
}

double nominal_bits(const Storage& storage, int64_t rows, int64_t cols) {
  return std::visit([&](const auto& base) { return nominal_bits(base, rows, cols); }, storage.base) +
         nominal_bits(storage.side.outliers);
}

std::vector<TensorPart> greatest_parts(const Storage& storage, int64_t rows, int64_t cols) {
  std::vector<TensorPart> parts =
      std::visit([&](const auto& base) { return greatest_parts(base, rows, cols); }, storage.base);
  for (TensorPart& part : greatest_parts(storage.side.outliers, rows, cols)) parts.push_back(std::move(part));
  return parts;
}

bool has_fixed_sizes(const Storage& storage) {
  const auto* codebook = std::get_if<CodebookStorage>(&storage.base);
  const bool fixed = codebook == nullptr || codebook->share != CodebookStorage::Share::kColumn;
  return fixed && !storage.side.outliers.present();
}

void check_storable(const std::string& name, const Storage& storage, int64_t rows) {
  if (!storage.side.outliers.present() || rows <= kMostOutlierRows) return;
  misuse("{}: {} names the rows of outliers in 16 bits, so its {} rows are too many (at most {})", name,
         to_string(storage), rows, kMostOutlierRows);
}

}  // namespace bitloom
