#include "kernels/cached_attention/cached_attention.h"

#include "kernels/kernel_list.h"

namespace bitloom {

#define BITLOOM_CACHED_ATTENTION(function, isa, format) CachedAttentionKernel function;
#include "kernels/cached_attention/kernels.inc"
#undef BITLOOM_CACHED_ATTENTION

std::span<const CachedAttentionEntry> cached_attention_kernels() {
#define BITLOOM_CACHED_ATTENTION(function, isa, format) {#function, function, Isa::isa, KvFormat::format},
  static constexpr CachedAttentionEntry kEntries[] = {
#include "kernels/cached_attention/kernels.inc"
  };
#undef BITLOOM_CACHED_ATTENTION
  return kEntries;
}

const CachedAttentionEntry& find_cached_attention(Isa isa, KvFormat format) {
  return *find_kernel(cached_attention_kernels(), isa,
                      [&](const CachedAttentionEntry& entry) { return entry.format == format; });
}

}  // namespace bitloom
