#include "kernels/cached_attention/reference.h"

#include <algorithm>
#include <cmath>

namespace bitloom {

ReferenceAttention cached_attention_reference(const CachedAttentionCall& call, KvFormat format, int64_t query) {
  const float* q = call.q + query * padded_channels(call.head_dim);
  std::vector<float> k(static_cast<size_t>(call.head_dim)), v(static_cast<size_t>(call.value_dim));
  std::vector<double> scores;
  ReferenceAttention out;
  for (int64_t j = 0; j < call.keys; ++j) {
    read_kv_head(format, call.k + j * call.k_stride, call.head_dim, k.data());
    double s = 0, size = 0, key_size = 0, greatest = 0;
    for (size_t c = 0; c < k.size(); ++c) {
      const double term = static_cast<double>(call.scale) * q[c] * k[c];
      s += term, size += std::abs(term);
      key_size += std::abs(static_cast<double>(call.scale) * k[c]);
      greatest = std::max(greatest, std::abs(static_cast<double>(q[c])));
    }
    out.query_size = std::max(out.query_size, greatest * key_size);
    if (call.slopes != nullptr) {
      const double bias = static_cast<double>(call.slopes[query]) * static_cast<double>(j + call.distance);
      s += bias, size += std::abs(bias);
    }
    out.score_size = std::max(out.score_size, size);
    scores.push_back(call.softcap > 0 ? call.softcap * std::tanh(s / call.softcap) : s);
  }
  const double most = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (const double s : scores) sum += std::exp(s - most);
  out.log_sum = most + std::log(sum);
  out.values.resize(v.size());
  for (size_t j = 0; j < scores.size(); ++j) {
    read_kv_head(format, call.v + static_cast<int64_t>(j) * call.v_stride, call.value_dim, v.data());
    const double p = std::exp(scores[j] - out.log_sum);
    out.greatest = std::max(out.greatest, p);
    for (size_t c = 0; c < v.size(); ++c) {
      out.values[c] += p * v[c];
      out.size = std::max(out.size, std::abs(static_cast<double>(v[c])));
    }
  }
  return out;
}

}  // namespace bitloom
