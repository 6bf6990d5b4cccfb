#include "format/families/affine/affine_storage.h"
#include "format/families/codebook/codebook_storage.h"
#include "format/families/grid/grid_storage.h"
#include "format/families/partial/partial_storage.h"
#include "format/families/planes/planes_storage.h"
#include "format/families/sign_rank1/sign_rank1.h"
#include "format/families/trellis/trellis_storage.h"
#include "format/families/vector/block_vectors.h"
#include "format/families/vector/e8p.h"
#include "format/families/vector/vector_storage.h"

namespace bitloom {

std::span<const FamilyRow* const> base_families() {
  static constexpr const FamilyRow* kFamilies[] = {
      &kAffineFamily,  &kCodebookFamily, &kPartialFamily,     &kPlanesFamily, &kSignRank1Family,
      &kTrellisFamily, &kVectorFamily,   &kBlockVectorFamily, &kE8pFamily,    &kGridFamily,
  };
  return kFamilies;
}

}  // namespace bitloom
