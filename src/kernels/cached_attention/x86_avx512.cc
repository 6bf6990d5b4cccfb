// Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mfma -mf16c.

#include "kernels/cached_attention/x86_avx512.h"

namespace bitloom {

void cached_attention_fp32_avx512(const CachedAttentionCall& call) {
  run_cached_attention<Avx512, KvFormat::kFp32>(call);
}
void cached_attention_fp16_avx512(const CachedAttentionCall& call) {
  run_cached_attention<Avx512, KvFormat::kFp16>(call);
}
void cached_attention_bf16_avx512(const CachedAttentionCall& call) {
  run_cached_attention<Avx512, KvFormat::kBf16>(call);
}
void cached_attention_int8_avx512(const CachedAttentionCall& call) {
  run_cached_attention<Avx512, KvFormat::kInt8>(call);
}
void cached_attention_fp8_avx512(const CachedAttentionCall& call) {
  run_cached_attention<Avx512, KvFormat::kFp8>(call);
}

}  // namespace bitloom
