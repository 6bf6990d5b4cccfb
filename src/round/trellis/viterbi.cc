#include "round/trellis/viterbi.h"

#include <algorithm>
#include <cmath>

namespace bitloom {
namespace {

constexpr double kMeanCost = 32;
// Costs of at least so much, of a source of variance 1, must be told apart: states that are that far behind the best
// still win.
constexpr double kLeastRange = 1;
constexpr double kTableEnd = 127;
constexpr double kMostBeyond = 1.0 / 16;  // of the range of costs, for what a target lies beyond the table

}  // namespace

TrellisEncoder::TrellisEncoder(const TrellisCode& code, const TrellisSearchEntry& kernel)
    : code_(code), kernel_(kernel), tables_(static_cast<size_t>(kTrellisTile) * 64), of_table_(64) {
  tag_bits_ = std::max(code.fresh_bits(0), code.fresh_bits(1));
  if (tag_bits_ > kMostKernelBits) return;
  // The error of an ideal code at this rate, 1.1 times over.
  const double error = 1.1 * code.units() * code.units() * std::exp2(-code.half_bits);
  unit_ = std::max(code.values * error / kMeanCost, kLeastRange * code.units() * code.units() / (0xffff >> tag_bits_));
  const size_t states = size_t{1} << code.state_bits;
  best_.resize((states >> code.fresh_bits(0)) + kTrellisBeyond), next_.resize(best_.size());
  for (int t = 0; t < code.steps(); ++t) from_.emplace_back(states >> code.fresh_bits(t));
  step_.state_bits = code.state_bits, step_.tag_bits = tag_bits_;
  step_.hash = kTrellisHash, step_.mix = kTrellisMix;
  step_.two_values = code.values == 2;
  if (code.values == 2) return;
  // u^2 / 2^16 counts units: u = 2^8 difference / sqrt(unit) = 2^shift fraction difference, with sums of two table
  // values in 15 bits.
  fraction_ = 256 / std::sqrt(unit_);
  for (step_.shift = 0; fraction_ > 64; ++step_.shift) fraction_ /= 2;
  step_.most_difference = static_cast<uint16_t>(0xffff >> step_.shift);
  step_.most_cost = static_cast<uint16_t>(0xffff >> tag_bits_);
  for (size_t i = 0; i < 64; ++i) of_table_[i] = static_cast<int16_t>(std::lround(fraction_ * kTrellisTable[i]));
}

/// The tables of all steps.
void TrellisEncoder::set_costs(const float* x) {
  // What lies far beyond the table would cost more than there is room for everywhere, and so hide what other steps
  // cost.
  const bool two = code_.values == 2;
  const double most = 0xffff >> tag_bits_, table_end = kTableEnd * (two ? 1 : 2),
               end = table_end + std::min(0.25 * table_end, std::sqrt(unit_ * most * kMostBeyond));
  for (int i = 0; i < code_.steps() * code_.values; ++i) {
    const double target = std::clamp(static_cast<double>(x[i]), -end, end);
    int16_t* out = tables_.data() + i * 64;
    if (!two) {
      const double nearest = std::round(fraction_ * target);
      for (size_t v = 0; v < 64; ++v) {
        out[v] = static_cast<int16_t>(std::clamp(nearest - of_table_[v], -32768.0, 32767.0));
      }
      continue;
    }
    for (size_t v = 0; v < 64; ++v) {
      const double difference = target - kTrellisTable[v];
      const double units = std::min(difference * difference / unit_, most);
      const auto whole = static_cast<int>(units);  // std::round, which is a call for each
      const int rounded = whole + (units - whole >= 0.5 ? 1 : 0);
      out[v] = static_cast<int16_t>(static_cast<uint32_t>(rounded) << tag_bits_);
    }
  }
}

/// States of the best path by step from `start`, around the tile's end; `seam` as of Search::run.
std::vector<uint32_t> TrellisEncoder::path(int start, int64_t seam) {
  const int steps = code_.steps();
  std::fill(best_.begin(), best_.end(), static_cast<uint16_t>(seam < 0 ? 0 : 0xffff));
  if (seam >= 0) best_[static_cast<size_t>(seam)] = 0;
  uint16_t least = 0;
  for (int i = 0; i < steps; ++i) {
    const int t = (start + i) % steps;
    step_.k = code_.fresh_bits(t), step_.next_k = code_.fresh_bits((t + 1) % steps);
    step_.best = best_.data(), step_.next = next_.data();
    step_.from = from_[static_cast<size_t>((t + 1) % steps)].data();
    step_.first = tables_.data() + t * code_.values * 64;
    step_.second = code_.values == 2 ? step_.first + 64 : of_table_.data();
    least = kernel_.kernel(step_, least);
    std::swap(best_, next_);
  }
  // best_ is of the bits before the first step again.
  const size_t n = (size_t{1} << code_.state_bits) >> code_.fresh_bits(start);
  const std::vector<uint8_t>& from = from_[static_cast<size_t>(start)];
  auto end = static_cast<size_t>(std::max<int64_t>(seam, 0));
  // Among equal costs the lowest state.
  const auto key = [&](size_t e) { return best_[e] | from[e]; };
  for (size_t e = 1; e < n && seam < 0; ++e) {
    if (key(e) < key(end)) end = e;
  }
  size_t s = from[end] * n + end;
  std::vector<uint32_t> states(static_cast<size_t>(steps));
  for (int i = steps - 1; i >= 0; --i) {
    const int t = (start + i) % steps, k = code_.fresh_bits(t);
    states[static_cast<size_t>(i)] = static_cast<uint32_t>(s);
    const size_t e = s >> k;
    s = static_cast<size_t>(from_[static_cast<size_t>(t)][e]) << (code_.state_bits - k) | e;
  }
  return states;
}

void TrellisEncoder::encode(const float* x, uint16_t* words) {
  if (tag_bits_ > kMostKernelBits) return encode_trellis_reference(code_, x, words);
  set_costs(x);
  const int middle = code_.steps() / 2, first_bits = code_.fresh_bits(0);
  const uint32_t before = path(middle, -1)[static_cast<size_t>(code_.steps() - middle - 1)];
  const uint32_t seam = before & ((1U << (code_.state_bits - first_bits)) - 1);
  const std::vector<uint32_t> states = path(0, seam);
  // Where every path around the seam costs more than 16 bits hold, the one found may begin elsewhere.
  if (states[0] >> first_bits != seam) {
    encode_trellis_around(code_, x, seam, words);
    return;
  }
  write_trellis_path(code_, states, words);
}

}  // namespace bitloom
