// For any machine: a head is widened, then multiplied in lanes that a compiler can vectorise.

#include <algorithm>
#include <vector>

#include "base/simd_math.h"
#include "kernels/cached_attention/cached_attention.h"

namespace bitloom {
namespace {

constexpr int64_t kLanes = 8;

float dot(const float* a, const float* b, int64_t count) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  }
  for (; i < count; ++i) lanes[i % kLanes] += a[i] * b[i];
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

float score(const CachedAttentionCall& call, int64_t query, int64_t key, const float* k) {
  float s = call.scale * dot(call.q + query * padded_channels(call.head_dim), k, call.head_dim);
  if (call.slopes != nullptr) s += call.slopes[query] * static_cast<float>(key + call.distance);
  return call.softcap > 0 ? call.softcap * tanh_fp32(s / call.softcap) : s;
}

void add_value(const CachedAttentionCall& call, int64_t query, float s, const float* v) {
  float* values = call.values + query * padded_channels(call.value_dim);
  float &most = call.most[query], &sum = call.sum[query];
  if (!(s <= most)) {
    const float shrink = exp_fp32(most - s);
    for (int64_t c = 0; c < call.value_dim; ++c) values[c] *= shrink;
    sum *= shrink, most = s;
  }
  const float p = exp_fp32(s - most);
  for (int64_t c = 0; c < call.value_dim; ++c) values[c] += p * v[c];
  sum += p;
}

template <KvFormat kFormat>
void cached_attention(const CachedAttentionCall& call) {
  constexpr int64_t kPiece = 256;  // heads are seldom wider
  float small[kPiece];
  std::vector<float> large;
  float* head = small;
  if (const int64_t width = std::max(call.head_dim, call.value_dim); width > kPiece) {
    large.resize(static_cast<size_t>(width));
    head = large.data();
  }
  constexpr int64_t kQueries = 16;
  float scores[kQueries];
  for (int64_t first = 0; first < call.queries; first += kQueries) {
    const int64_t count = std::min(kQueries, call.queries - first);
    for (int64_t j = 0; j < call.keys; ++j) {
      read_kv_head(kFormat, call.k + j * call.k_stride, call.head_dim, head);
      for (int64_t g = 0; g < count; ++g) scores[g] = score(call, first + g, j, head);
      read_kv_head(kFormat, call.v + j * call.v_stride, call.value_dim, head);
      for (int64_t g = 0; g < count; ++g) add_value(call, first + g, scores[g], head);
    }
  }
}

}  // namespace

void cached_attention_fp32_portable(const CachedAttentionCall& call) { cached_attention<KvFormat::kFp32>(call); }
void cached_attention_fp16_portable(const CachedAttentionCall& call) { cached_attention<KvFormat::kFp16>(call); }
void cached_attention_bf16_portable(const CachedAttentionCall& call) { cached_attention<KvFormat::kBf16>(call); }
void cached_attention_int8_portable(const CachedAttentionCall& call) { cached_attention<KvFormat::kInt8>(call); }

}  // namespace bitloom
