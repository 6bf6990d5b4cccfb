#include "format/base_storage.h"

#include "base/error.h"
#include "format/families/grid/grid_storage.h"

namespace bitloom {

const FamilyRow& family_with(const std::type_info& storage_type) {
  for (const FamilyRow* family : base_families()) {
    if (*family->storage_type == storage_type) return *family;
  }
  fail(ErrorKind::kFailed, "no row of base_families() has the storage type {}", storage_type.name());
}

BaseStorage::BaseStorage() : BaseStorage(GridStorage{}) {}

BaseStorage BaseStorage::parse(std::string_view text, std::vector<std::string>* others) {
  for (const FamilyRow* family : base_families()) {
    if (family->claims(text)) return {*family, family->parse(text, others)};
  }
  misuse("\"{}\" is no storage", text);
}

std::vector<BaseStorage> BaseStorage::at_all_widths() const {
  std::vector<BaseStorage> all;
  for (AnyValue& value : family_->at_all_widths(value_)) all.push_back({*family_, std::move(value)});
  return all;
}

}  // namespace bitloom
