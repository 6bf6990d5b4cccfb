// Compiled with -mavx2 -mfma -mf16c.

#include "kernels/cached_attention/x86_avx2.h"

namespace bitloom {

void cached_attention_fp32_v256(const CachedAttentionCall& call) { run_cached_attention<Avx2, KvFormat::kFp32>(call); }
void cached_attention_fp16_v256(const CachedAttentionCall& call) { run_cached_attention<Avx2, KvFormat::kFp16>(call); }
void cached_attention_bf16_v256(const CachedAttentionCall& call) { run_cached_attention<Avx2, KvFormat::kBf16>(call); }
void cached_attention_int8_v256(const CachedAttentionCall& call) { run_cached_attention<Avx2, KvFormat::kInt8>(call); }
void cached_attention_fp8_v256(const CachedAttentionCall& call) { run_cached_attention<Avx2, KvFormat::kFp8>(call); }

}  // namespace bitloom
