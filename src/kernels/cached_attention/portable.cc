// For any machine: a piece of a head is widened, then multiplied in lanes that a compiler can vectorise.

#include <algorithm>
#include <cstring>

#include "base/simd/simd_math.h"
#include "kernels/cached_attention/cached_attention.h"

namespace bitloom {
namespace {

constexpr int64_t kLanes = 8;
constexpr int64_t kPiece = 256;   // channels that are widened at once, a multiple of kLanes
constexpr int64_t kQueries = 16;  // that share them

/// Channels [c, c + count) of a head of `dim`.
template <KvFormat kFormat>
void read_channels(const std::byte* head, int64_t dim, int64_t c, int64_t count, float* out) {
  const std::byte* at = head + c * kv_channel_bytes(kFormat);
  read_kv_codes(kFormat, at, count, out);
  if constexpr (kv_has_scale(kFormat)) {
    float scale;
    std::memcpy(&scale, head + dim, sizeof scale);
    for (int64_t i = 0; i < count; ++i) out[i] *= scale;
  }
}

/// f(c, the channels, how many) of every piece of a head.
template <KvFormat kFormat, class F>
void for_pieces(const std::byte* head, int64_t dim, const F& f) {
  float channels[kPiece];
  for (int64_t c = 0; c < dim; c += kPiece) {
    const int64_t count = std::min(kPiece, dim - c);
    read_channels<kFormat>(head, dim, c, count, channels);
    f(c, channels, count);
  }
}

void add_products(const float* a, const float* b, int64_t count, float (&lanes)[kLanes]) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  }
  for (; i < count; ++i) lanes[i % kLanes] += a[i] * b[i];
}

float sum_of(const float (&lanes)[kLanes]) {
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

float score(const CachedAttentionCall& call, int64_t query, int64_t key, float product) {
  float s = call.scale * product;
  if (call.slopes != nullptr) s += call.slopes[query] * static_cast<float>(key + call.distance);
  return call.softcap > 0 ? call.softcap * tanh_fp32(s / call.softcap) : s;
}

/// What the key's value is multiplied by; shrinks what is there to the same peak.
float add_score(const CachedAttentionCall& call, int64_t query, float s) {
  float* values = call.values + query * padded_channels(call.value_dim);
  float &most = call.most[query], &sum = call.sum[query];
  if (!(s <= most)) {
    const float shrink = exp_fp32(most - s);
    for (int64_t c = 0; c < call.value_dim; ++c) values[c] *= shrink;
    sum *= shrink, most = s;
  }
  const float p = exp_fp32(s - most);
  sum += p;
  return p;
}

/// Key j and its value, for queries [first, first + count).
template <KvFormat kFormat>
void attend_to_key(const CachedAttentionCall& call, int64_t j, int64_t first, int64_t count) {
  const float* q = call.q + first * padded_channels(call.head_dim);
  float lanes[kQueries][kLanes] = {}, shares[kQueries];
  for_pieces<kFormat>(call.k + j * call.k_stride, call.head_dim, [&](int64_t c, const float* k, int64_t width) {
    for (int64_t g = 0; g < count; ++g) add_products(q + g * padded_channels(call.head_dim) + c, k, width, lanes[g]);
  });
  for (int64_t g = 0; g < count; ++g) {
    shares[g] = add_score(call, first + g, score(call, first + g, j, sum_of(lanes[g])));
  }
  float* values = call.values + first * padded_channels(call.value_dim);
  for_pieces<kFormat>(call.v + j * call.v_stride, call.value_dim, [&](int64_t c, const float* v, int64_t width) {
    for (int64_t g = 0; g < count; ++g) {
      float* out = values + g * padded_channels(call.value_dim) + c;
      for (int64_t i = 0; i < width; ++i) out[i] += shares[g] * v[i];
    }
  });
}

template <KvFormat kFormat>
void cached_attention(const CachedAttentionCall& call) {
  for (int64_t first = 0; first < call.queries; first += kQueries) {
    const int64_t count = std::min(kQueries, call.queries - first);
    for (int64_t j = 0; j < call.keys; ++j) attend_to_key<kFormat>(call, j, first, count);
  }
}

}  // namespace

void cached_attention_fp32_portable(const CachedAttentionCall& call) { cached_attention<KvFormat::kFp32>(call); }
void cached_attention_fp16_portable(const CachedAttentionCall& call) { cached_attention<KvFormat::kFp16>(call); }
void cached_attention_bf16_portable(const CachedAttentionCall& call) { cached_attention<KvFormat::kBf16>(call); }
void cached_attention_int8_portable(const CachedAttentionCall& call) { cached_attention<KvFormat::kInt8>(call); }
void cached_attention_fp8_portable(const CachedAttentionCall& call) { cached_attention<KvFormat::kFp8>(call); }

}  // namespace bitloom
