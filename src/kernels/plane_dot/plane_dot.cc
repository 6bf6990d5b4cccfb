#include "kernels/plane_dot/plane_dot.h"

#include "kernels/kernel_list.h"
#include "kernels/plane_dot/plane_words.h"

namespace bitloom {

#define BITLOOM_PLANE_DOT(function, isa) PlaneDotKernel function;
#include "kernels/plane_dot/kernels.inc"
#undef BITLOOM_PLANE_DOT

std::span<const PlaneDotEntry> plane_dot_kernels() {
#define BITLOOM_PLANE_DOT(function, isa) {#function, function, Isa::isa},
  static constexpr PlaneDotEntry kEntries[] = {
#include "kernels/plane_dot/kernels.inc"
  };
#undef BITLOOM_PLANE_DOT
  return kEntries;
}

const PlaneDotEntry& find_plane_dot(Isa isa) { return first_kernel(plane_dot_kernels(), isa); }

int64_t plane_dot_scratch(const PlaneTiles& w) {
  int64_t words = 0;
  for (const PlaneLayout::Block& block : w.layout->blocks) {
    for_each_segment(block, [&](const Segment& segment) {
      words += words_between(segment.first, segment.plain_words());
      words += words_between(segment.salient_words(), segment.last);
    });
  }
  return inputs_bytes(w) + words * static_cast<int64_t>(sizeof(WordSums));  // no fewer than of digits
}

}  // namespace bitloom
