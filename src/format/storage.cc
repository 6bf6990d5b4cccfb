#include "format/storage.h"

#include <fmt/format.h>

#include "base/error.h"
#include "format/families/grid/grid_storage.h"

namespace bitloom {
namespace {

/// Where the side terms begin: a '+' before a letter, since one before a digit is an exponent's.
size_t side_of(std::string_view text) {
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    if (text[i] == '+' && text[i + 1] >= 'a' && text[i + 1] <= 'z') return i;
  }
  return std::string_view::npos;
}

BaseStorage parse_base(std::string_view text, std::vector<std::string>* others) {
  for (const FamilyRow* family : base_families()) {
    if (family->claims(text)) return {*family, family->parse(text, others)};
  }
  misuse("\"{}\" is no storage", text);
}

}  // namespace

const FamilyRow& family_of(const std::type_info& storage_type) {
  for (const FamilyRow* family : base_families()) {
    if (*family->storage_type == storage_type) return *family;
  }
  fail(ErrorKind::kFailed, "no row of base_families() has the storage type {}", storage_type.name());
}

BaseStorage::BaseStorage() : BaseStorage(GridStorage{}) {}

Storage parse_storage(std::string_view text, std::vector<std::string>* others) {
  Storage storage;
  const size_t plus = side_of(text);
  const std::string_view base = text.substr(0, plus);
  storage.base = parse_base(base, others);
  if (plus == std::string_view::npos) return storage;
  storage.side.outliers = parse_outliers(text.substr(plus + 1), text);
  return storage;
}

std::string to_string(const Storage& storage) {
  std::string text = storage.base.family().to_string(storage.base.value());
  if (storage.side.outliers.present()) text += "+" + to_string(storage.side.outliers);
  return text;
}

std::vector<std::string> storage_option_names(const Storage& storage) { return storage.base.family().option_names(); }

double nominal_bits(const Storage& storage, int64_t rows, int64_t cols) {
  return storage.base.family().nominal_bits(storage.base.value(), rows, cols) + nominal_bits(storage.side.outliers);
}

std::vector<TensorPart> greatest_parts(const Storage& storage, int64_t rows, int64_t cols) {
  std::vector<TensorPart> parts = storage.base.family().greatest_parts(storage.base.value(), rows, cols);
  for (TensorPart& part : greatest_parts(storage.side.outliers, rows, cols)) parts.push_back(std::move(part));
  return parts;
}

bool has_fixed_sizes(const Storage& storage) {
  return storage.base.family().has_fixed_sizes(storage.base.value()) && !storage.side.outliers.present();
}

void check_storable(const std::string& name, const Storage& storage, int64_t rows) {
  if (!storage.side.outliers.present() || rows <= kMostOutlierRows) return;
  misuse("{}: {} names the rows of outliers in 16 bits, so its {} rows are too many (at most {})", name,
         to_string(storage), rows, kMostOutlierRows);
}

}  // namespace bitloom
