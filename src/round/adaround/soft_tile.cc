#include "round/adaround/soft_tile.h"

#include <algorithm>
#include <cmath>

#include "linalg/gemm.h"
#include "round/adaround/flip_row.h"
#include "round/adaround/soft_rounding.h"

namespace bitloom {
namespace {

/// Each flip lowers the loss, so that descent ends; this ends it where rounding errors would let it turn in circles.
constexpr int64_t kFlipsPerWeight = 4;

int64_t warmup_of(const AdaRounding& options) {
  return static_cast<int64_t>(options.warmup * static_cast<double>(options.iterations));
}

}  // namespace

void set_pull(const LayerStatistics& layer, const float* w, SoftTile& tile) {
  if (layer.cross == nullptr) return;
  const int64_t d = layer.channels;
  tile.pull.resize(tile.base.size());
  sgemm(Transpose::kNo, Transpose::kNo, tile.rows, d, d, 1.0f, w, d, layer.cross, d, 0.0f, tile.pull.data(), d);
}

void half_gradient(const LayerStatistics& layer, const SoftTile& tile, const float* deviation, float* out) {
  const int64_t d = layer.channels;
  for (size_t i = 0; i < tile.pull.size(); ++i) out[i] = -tile.pull[i];
  sgemm(Transpose::kNo, Transpose::kNo, tile.rows, d, d, 1.0f, deviation, d, layer.second, d,
        tile.pull.empty() ? 0.0f : 1.0f, out, d);
}

std::vector<double> row_losses(const LayerStatistics& layer, const SoftTile& tile, const float* deviation,
                               float* scratch) {
  half_gradient(layer, tile, deviation, scratch);
  std::vector<double> losses;
  for (int64_t r = 0; r < tile.rows; ++r) {
    double loss = 0;
    for (int64_t i = r * layer.channels; i < (r + 1) * layer.channels; ++i) {
      const double pull = tile.pull.empty() ? 0.0 : static_cast<double>(tile.pull[static_cast<size_t>(i)]);
      loss += static_cast<double>(deviation[i]) * (static_cast<double>(scratch[i]) - pull);
    }
    losses.push_back(loss);
  }
  return losses;
}

std::vector<float> gains(const LayerStatistics& layer, const SoftTile& tile) {
  const int64_t d = layer.channels;
  std::vector<float> gain(tile.step.size());
  for (size_t i = 0; i < gain.size(); ++i) {
    const auto c = static_cast<int64_t>(i) % d;
    // 2 step / (H_jj step^2 / 12)
    const double denominator = static_cast<double>(layer.second[c * d + c]) * static_cast<double>(tile.step[i]);
    gain[i] = denominator > 0 ? static_cast<float>(24 / denominator) : 0.0f;
  }
  return gain;
}

SoftStep step_at(const AdaRounding& options, int64_t iteration) {
  const int64_t begin = warmup_of(options), count = options.iterations - begin;
  const double t = count > 1 ? static_cast<double>(iteration - begin) / static_cast<double>(count - 1) : 1.0;
  SoftStep step;
  step.beta = static_cast<float>(options.beta_start);
  if (iteration >= begin) {
    step.beta = static_cast<float>(options.beta_start + (options.beta_end - options.beta_start) * t);
    step.regularizer = static_cast<float>(options.regularizer * std::pow(t, options.ramp));
  }
  const double n = static_cast<double>(iteration + 1);
  const double first = 1 - std::pow(static_cast<double>(kAdamFirst), n);
  const double second = 1 - std::pow(static_cast<double>(kAdamSecond), n);
  step.rate = static_cast<float>(options.learning_rate * std::sqrt(second) / first);
  return step;
}

void learn(const LayerStatistics& layer, const AdaRounding& options, SoftTile& tile) {
  const int64_t weights = tile.rows * layer.channels;
  const std::vector<float> gain = gains(layer, tile);
  std::vector<float> first(tile.base.size()), second(first.size()), deviation(first.size()), half(first.size());
  const SoftRow row{tile.base.data(), tile.step.data(), tile.alpha.data(), first.data(), second.data()};
  soft_deviation(row.base, row.step, row.alpha, weights, deviation.data());
  for (int64_t i = 0; i < options.iterations; ++i) {
    half_gradient(layer, tile, deviation.data(), half.data());
    soft_step(step_at(options, i), row, half.data(), gain.data(), weights, deviation.data());
  }
}

void descend(const LayerStatistics& layer, const SoftTile& tile, std::vector<uint8_t>& up) {
  const int64_t d = layer.channels;
  std::vector<float> half(up.size()), move(up.size());
  for (size_t i = 0; i < up.size(); ++i) {
    half[i] = tile.base[i] + (up[i] != 0 ? tile.step[i] : 0.0f);
    move[i] = up[i] != 0 ? -tile.step[i] : tile.step[i];
  }
  const std::vector<float> deviation = half;
  half_gradient(layer, tile, deviation.data(), half.data());
  std::vector<float> diagonal(static_cast<size_t>(d)), change(diagonal.size());
  for (int64_t c = 0; c < d; ++c) diagonal[static_cast<size_t>(c)] = layer.second[c * d + c];
  for (int64_t r = 0; r < tile.rows; ++r) {
    const FlipRow row{half.data() + r * d, move.data() + r * d, diagonal.data(), change.data(), d};
    for (int64_t flips = 0; flips < kFlipsPerWeight * d; ++flips) {
      const int64_t best = best_flip(row);
      if (best < 0) break;
      up[static_cast<size_t>(r * d + best)] ^= 1;
      flip(row, best, layer.second + best * d);
    }
  }
}

}  // namespace bitloom
