#include "format/storage.h"

#include <utility>

#include "base/error.h"

namespace bitloom {
namespace {

/// Where the next side term begins: a '+' before a letter, since one before a digit is an exponent's; or the end.
size_t next_side_term(std::string_view text, size_t from) {
  for (size_t i = from; i + 1 < text.size(); ++i) {
    if (text[i] == '+' && text[i + 1] >= 'a' && text[i + 1] <= 'z') return i;
  }
  return text.size();
}

}  // namespace

Storage parse_storage(std::string_view text, std::vector<std::string>* others) {
  Storage storage;
  size_t end = next_side_term(text, 0);
  storage.base = BaseStorage::parse(text.substr(0, end), others);
  while (end < text.size()) {
    const size_t begin = end + 1;
    end = next_side_term(text, begin);
    parse_side_term(text.substr(begin, end - begin), text, storage.side);
  }
  return storage;
}

std::string to_string(const Storage& storage) { return storage.base.to_string() + to_string(storage.side); }

std::vector<std::string> storage_option_names(const Storage& storage) { return storage.base.family().option_names(); }

double nominal_bits(const Storage& storage, int64_t rows, int64_t cols) {
  return storage.base.nominal_bits(rows, cols) + nominal_bits(storage.side, rows, cols);
}

std::vector<Storage> at_all_widths(const Storage& storage) {
  std::vector<Storage> all;
  for (BaseStorage& base : storage.base.at_all_widths()) all.push_back({std::move(base), storage.side});
  return all;
}

std::vector<TensorPart> greatest_parts(const Storage& storage, int64_t rows, int64_t cols) {
  std::vector<TensorPart> parts = storage.base.greatest_parts(rows, cols);
  for (TensorPart& part : greatest_parts(storage.side, rows, cols)) parts.push_back(std::move(part));
  return parts;
}

bool has_fixed_sizes(const Storage& storage) { return storage.base.has_fixed_sizes() && sizes_are_fixed(storage.side); }

void check_storable(const std::string& name, const Storage& storage, int64_t cols) {
  if (storage.side.frame.in_block == kWholeWidth) check_whole_width(name + ": " + to_string(storage), cols);
  if (!storage.side.outliers.present() || cols <= kMostOutlierColumns) return;
  misuse("{}: {} names the columns of outliers in 16 bits, so its {} columns are too many (at most {})", name,
         to_string(storage), cols, kMostOutlierColumns);
}

}  // namespace bitloom
