#include "forward/layers/routing.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "forward/attention/softmax.h"
#include "forward/row_loop.h"

namespace bitloom {
namespace {

int64_t slots_per_row(const Routing& routing, int64_t rows) {
  return static_cast<int64_t>(routing.places.size()) / rows;
}

/// The greatest of p [count] that is not among chosen [taken].
int32_t greatest(const float* p, int64_t count, const int32_t* chosen, int64_t taken) {
  int32_t best = -1;
  for (int32_t e = 0; e < count; ++e) {
    if (std::find(chosen, chosen + taken, e) != chosen + taken) continue;
    if (best < 0 || p[e] > p[best]) best = e;
  }
  return best;
}

constexpr float kNever = -std::numeric_limits<float>::infinity();

/// Leaves the scores of the best groups and makes all others such that they are never chosen before these.
void keep_best_groups(const Experts& experts, std::span<float> scores) {
  const auto size = static_cast<int64_t>(scores.size()) / experts.groups;
  std::vector<float> sums(static_cast<size_t>(experts.groups)), sorted;
  for (int64_t g = 0; g < experts.groups; ++g) {
    sorted.assign(scores.begin() + g * size, scores.begin() + (g + 1) * size);
    std::partial_sort(sorted.begin(), sorted.begin() + experts.group_best, sorted.end(), std::greater<>());
    for (int64_t i = 0; i < experts.group_best; ++i) sums[static_cast<size_t>(g)] += sorted[static_cast<size_t>(i)];
  }
  std::vector<int32_t> best(static_cast<size_t>(experts.top_groups));
  for (int64_t k = 0; k < experts.top_groups; ++k) {
    best[static_cast<size_t>(k)] = greatest(sums.data(), experts.groups, best.data(), k);
  }
  for (int32_t g = 0; g < experts.groups; ++g) {
    if (std::find(best.begin(), best.end(), g) != best.end()) continue;
    std::fill_n(scores.begin() + g * size, size, kNever);
  }
}

/// p, and in `ranked` what T is chosen by.
void choose_by_score(const Experts& experts, std::span<const float> bias, float* p, std::vector<float>& ranked,
                     int32_t* chosen, float* weights) {
  const auto count = static_cast<int64_t>(experts.mlps.size());
  float all = 1.0f;
  if (experts.score == RouterScore::kSoftmax) {
    all = exp_shifted(p, count);
  } else {
    for (int64_t e = 0; e < count; ++e) p[e] = 1.0f / (1.0f + std::exp(-p[e]));
  }
  const float* by = p;  // without biases and groups the unnormalised ones order alike
  if (!bias.empty() || experts.groups > 1) {
    ranked.resize(static_cast<size_t>(count));
    for (size_t e = 0; e < ranked.size(); ++e) ranked[e] = p[e] / all + (bias.empty() ? 0.0f : bias[e]);
    if (experts.groups > 1) keep_best_groups(experts, ranked);
    by = ranked.data();
  }
  for (int64_t k = 0; k < experts.top_k; ++k) {
    chosen[k] = greatest(by, count, chosen, k);
    weights[k] = p[chosen[k]] / all;
  }
}

void choose_by_sparse_mixer(const Experts& experts, const float* logits, std::vector<float>& left, int32_t* chosen,
                            float* weights) {
  const auto count = static_cast<int64_t>(experts.mlps.size());
  left.assign(logits, logits + count);
  for (int64_t k = 0; k < experts.top_k; ++k) {
    chosen[k] = greatest(left.data(), count, chosen, k);
    const float most = logits[chosen[k]];
    float sum = 0.0f;
    for (int64_t e = 0; e < count; ++e) {
      if (std::find(chosen, chosen + k, e) != chosen + k) continue;
      // Written so that where all are 0 each takes part.
      const bool far = (most - logits[e]) / std::max(std::abs(logits[e]), most) > experts.mixer_margin;
      if (!far) sum += std::exp(logits[e] - most);
    }
    weights[k] = 1.0f / sum;
  }
}

void choose(const Experts& experts, std::span<const float> bias, float* logits, Routing& routing, int64_t slot) {
  int32_t* chosen = routing.chosen.data() + slot;
  float* weights = routing.weights.data() + slot;
  if (experts.score == RouterScore::kSparseMixer) {
    choose_by_sparse_mixer(experts, logits, routing.ranked, chosen, weights);
  } else {
    choose_by_score(experts, bias, logits, routing.ranked, chosen, weights);
  }
  float sum = 0.0f;
  for (int64_t k = 0; k < experts.top_k; ++k) sum += weights[k];
  if (experts.normalized) {
    const float divisor = sum < experts.least_sum ? experts.least_sum : sum;
    for (int64_t k = 0; k < experts.top_k; ++k) weights[k] /= divisor;
  }
  for (int64_t k = 0; k < experts.top_k; ++k) weights[k] *= experts.weight_scale;
}

}  // namespace

void route(const Experts& experts, std::span<const float> choice_bias, int64_t rows, Routing& routing) {
  const size_t count = experts.mlps.size(), slots = static_cast<size_t>(rows * experts.top_k);
  routing.chosen.resize(slots);
  routing.weights.resize(slots);
  routing.places.resize(slots);
  routing.begins.assign(count + 1, 0);
  for (int64_t row = 0; row < rows; ++row) {
    choose(experts, choice_bias, routing.logits.data() + row * static_cast<int64_t>(count), routing,
           row * experts.top_k);
  }
  for (const int32_t e : routing.chosen) ++routing.begins[static_cast<size_t>(e) + 1];
  for (size_t e = 0; e < count; ++e) routing.begins[e + 1] += routing.begins[e];
  std::vector<int64_t> next(routing.begins.begin(), routing.begins.end() - 1);
  for (size_t slot = 0; slot < slots; ++slot) {
    routing.places[slot] = next[static_cast<size_t>(routing.chosen[slot])]++;
  }
}

void gather_routed(const Routing& routing, int64_t rows, const float* x, int64_t width, float* out,
                   ThreadPool& threads) {
  const int64_t top_k = slots_per_row(routing, rows);
  for_rows(threads, rows, [&](int64_t row) {
    for (int64_t k = 0; k < top_k; ++k) {
      std::copy_n(x + row * width, width, out + routing.places[static_cast<size_t>(row * top_k + k)] * width);
    }
  });
}

void add_routed(const Routing& routing, int64_t rows, const float* out, int64_t width, float* y, ThreadPool& threads) {
  const int64_t top_k = slots_per_row(routing, rows);
  for_rows(threads, rows, [&](int64_t row) {
    float* sum = y + row * width;
    for (int64_t k = 0; k < top_k; ++k) {
      const auto slot = static_cast<size_t>(row * top_k + k);
      const float* part = out + routing.places[slot] * width;
      for (int64_t i = 0; i < width; ++i) sum[i] += routing.weights[slot] * part[i];
    }
  });
}

void add_routed_adjoint(const Routing& routing, int64_t rows, const float* out, const float* dy, int64_t width,
                        float* d_out, float* d_weights, ThreadPool& threads) {
  const int64_t top_k = slots_per_row(routing, rows);
  for_rows(threads, rows, [&](int64_t row) {
    const float* d = dy + row * width;
    for (int64_t k = 0; k < top_k; ++k) {
      const auto slot = static_cast<size_t>(row * top_k + k);
      const int64_t place = routing.places[slot] * width;
      double along = 0;
      for (int64_t i = 0; i < width; ++i) {
        along += static_cast<double>(d[i]) * out[place + i];
        d_out[place + i] = routing.weights[slot] * d[i];
      }
      d_weights[slot] = static_cast<float>(along);
    }
  });
}

void gather_routed_adjoint(const Routing& routing, int64_t rows, const float* d_out, int64_t width, float* dx,
                           ThreadPool& threads) {
  const int64_t top_k = slots_per_row(routing, rows);
  for_rows(threads, rows, [&](int64_t row) {
    for (int64_t k = 0; k < top_k; ++k) {
      const float* part = d_out + routing.places[static_cast<size_t>(row * top_k + k)] * width;
      for (int64_t i = 0; i < width; ++i) dx[row * width + i] += part[i];
    }
  });
}

namespace {

std::vector<double> scores_of(const Experts& experts, const float* logits) {
  std::vector<double> p(logits, logits + experts.mlps.size());
  if (experts.score == RouterScore::kSigmoid) {
    for (double& x : p) x = 1.0 / (1.0 + std::exp(-x));
    return p;
  }
  const double most = *std::max_element(p.begin(), p.end());
  double sum = 0;
  for (double& x : p) sum += x = std::exp(x - most);
  for (double& x : p) x /= sum;
  return p;
}

// Softmax over the experts that took part when the k-th was chosen, 0 for the others.
std::vector<double> mixer_shares(const Experts& experts, const float* logits, const int32_t* chosen, int64_t k) {
  const float most = logits[chosen[k]];
  std::vector<double> p(experts.mlps.size());
  double sum = 0;
  for (size_t e = 0; e < p.size(); ++e) {
    if (std::find(chosen, chosen + k, static_cast<int32_t>(e)) != chosen + k) continue;
    if ((most - logits[e]) / std::max(std::abs(logits[e]), most) > experts.mixer_margin) continue;
    sum += p[e] = std::exp(static_cast<double>(logits[e]) - most);
  }
  for (double& x : p) x /= sum;
  return p;
}

// dl [experts] of one row.
void route_row_adjoint(const Experts& experts, const float* logits, const int32_t* chosen, const float* d_weights,
                       double* dl) {
  const bool mixes = experts.score == RouterScore::kSparseMixer;
  const auto top_k = static_cast<size_t>(experts.top_k);
  std::vector<std::vector<double>> p;  // the scores that each of the chosen was taken from; of a mixer their own
  for (size_t k = 0; k < (mixes ? top_k : 1); ++k) {
    p.push_back(mixes ? mixer_shares(experts, logits, chosen, static_cast<int64_t>(k)) : scores_of(experts, logits));
  }
  const auto score = [&](size_t k) { return p[mixes ? k : 0][static_cast<size_t>(chosen[k])]; };
  double sum = 0, along = 0;
  for (size_t k = 0; k < top_k; ++k) sum += score(k), along += score(k) * d_weights[k];
  const bool by_sum = experts.normalized && sum >= experts.least_sum;
  const double divisor = !experts.normalized ? 1.0 : by_sum ? sum : static_cast<double>(experts.least_sum);
  for (size_t k = 0; k < top_k; ++k) {
    const auto own = static_cast<size_t>(chosen[k]);
    const double d = experts.weight_scale * (d_weights[k] / divisor - (by_sum ? along / (sum * sum) : 0.0));
    if (experts.score == RouterScore::kSigmoid) {
      dl[own] += d * score(k) * (1.0 - score(k));
      continue;
    }
    const std::vector<double>& shares = p[mixes ? k : 0];
    for (size_t e = 0; e < shares.size(); ++e) dl[e] += d * score(k) * ((e == own ? 1.0 : 0.0) - shares[e]);
  }
}

}  // namespace

void route_adjoint(const Experts& experts, const float* logits, int64_t rows, const Routing& routing,
                   const float* d_weights, float* d_logits, ThreadPool& threads) {
  const auto count = static_cast<int64_t>(experts.mlps.size());
  for_rows(threads, rows, [&](int64_t row) {
    const int64_t slot = row * experts.top_k;
    std::vector<double> dl(static_cast<size_t>(count));
    route_row_adjoint(experts, logits + row * count, routing.chosen.data() + slot, d_weights + slot, dl.data());
    std::copy(dl.begin(), dl.end(), d_logits + row * count);
  });
}

}  // namespace bitloom
