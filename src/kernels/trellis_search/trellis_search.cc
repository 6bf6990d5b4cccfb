#include "kernels/trellis_search/trellis_search.h"

#include "kernels/kernel_list.h"

namespace bitloom {

#define BITLOOM_TRELLIS_SEARCH(function, isa) TrellisSearchKernel function;
#include "kernels/trellis_search/kernels.inc"
#undef BITLOOM_TRELLIS_SEARCH

std::span<const TrellisSearchEntry> trellis_search_kernels() {
#define BITLOOM_TRELLIS_SEARCH(function, isa) {#function, function, Isa::isa},
  static constexpr TrellisSearchEntry kEntries[] = {
#include "kernels/trellis_search/kernels.inc"
  };
#undef BITLOOM_TRELLIS_SEARCH
  return kEntries;
}

const TrellisSearchEntry& find_trellis_search(Isa isa) { return first_kernel(trellis_search_kernels(), isa); }

}  // namespace bitloom
