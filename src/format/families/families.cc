#include "format/families/codebook/codebook_storage.h"
#include "format/families/grid/grid_storage.h"

namespace bitloom {

std::span<const FamilyRow* const> base_families() {
  static constexpr const FamilyRow* kFamilies[] = {
      &kCodebookFamily,
      &kGridFamily,
  };
  return kFamilies;
}

}  // namespace bitloom
