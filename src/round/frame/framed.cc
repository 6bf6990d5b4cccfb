#include "round/frame/framed.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "format/side/block_rotation.h"

namespace bitloom {
namespace {

/// What moved statistics depend on.
struct FrameKey {
  FrameStorage frame;
  bool operator==(const FrameKey&) const = default;
};

/// x [n, cols] <- Q x, in panels: a rotation of all channels is one block, whatever their number.
void rotate_columns(float* x, int64_t cols, const BlockRotation& q, ThreadPool& threads) {
  constexpr int64_t kPanel = 64;
  const int64_t block = q.block(), panels = (cols + kPanel - 1) / kPanel;
  threads.parallel_for(q.size() / block * panels, [&](int64_t i) {
    const int64_t begin = i / panels * block, first = i % panels * kPanel, width = std::min(kPanel, cols - first);
    std::vector<float> panel(static_cast<size_t>(block * width));
    for (int64_t r = 0; r < block; ++r) std::copy_n(x + (begin + r) * cols + first, width, panel.data() + r * width);
    q.rotate(panel.data(), begin, begin + block, width);
    for (int64_t r = 0; r < block; ++r) std::copy_n(panel.data() + r * width, width, x + (begin + r) * cols + first);
  });
}

/// h [n, n] <- Q h Q^T.
void rotate_both_sides(std::vector<float>& h, const BlockRotation& q, ThreadPool& threads) {
  const int64_t n = q.size();
  threads.parallel_for(n, [&](int64_t i) { q.rotate(h.data() + i * n, 0, n, 1); });
  rotate_columns(h.data(), n, q, threads);
}

/// H [n, n] <- Q D H D Q^T; d empty: ones.
SecondMoment moved(const SecondMoment& h, const std::vector<float>& d, const BlockRotation* q, ThreadPool& threads) {
  const int64_t n = h.channels();
  std::vector<float> values(static_cast<size_t>(n * n));
  h.copy_to(values.data(), threads);
  for (size_t i = 0; i < values.size() && !d.empty(); ++i) {
    values[i] *= d[i / static_cast<size_t>(n)] * d[i % static_cast<size_t>(n)];
  }
  if (q != nullptr) rotate_both_sides(values, *q, threads);
  return SecondMoment::from_mean(n, h.tokens(), values);
}

/// D [n, n] <- Q D Q^T.
CrossMoment moved(const CrossMoment& cross, const BlockRotation& q, ThreadPool& threads) {
  const int64_t n = cross.channels();
  std::vector<float> values(static_cast<size_t>(n * n));
  cross.copy_to(values.data(), threads);
  rotate_both_sides(values, q, threads);
  for (float& value : values) value *= static_cast<float>(cross.tokens());
  return CrossMoment::restore(n, cross.tokens(), std::move(values));
}

FramedInputs moved(const InputStatistics& inputs, const FrameStorage& frame, ThreadPool& threads) {
  const int64_t n = inputs.channels();
  FramedInputs result{InputStatistics(n, Needs{}), {}};
  if (frame.in_block == 0) {
    result.statistics = inputs;
    return result;
  }
  const BlockRotation q = in_rotation(frame, n);
  if (inputs.moment) result.statistics.moment = moved(*inputs.moment, {}, &q, threads);
  if (inputs.cross) result.statistics.cross = moved(*inputs.cross, q, threads);
  if (inputs.half) {
    result.statistics.half.emplace(
        HalfMoments{moved(inputs.half->moment, {}, &q, threads), moved(inputs.half->cross, q, threads)});
  }
  return result;
}

double rms(const float* x, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return std::sqrt(sum / static_cast<double>(std::max<int64_t>(count, 1)));
}

}  // namespace

FramedProblem::FramedProblem(const RoundingProblem& outer) : outer_(outer), frame_(outer.target.storage.side.frame) {
  load_weights();
  const FramedInputs* inputs = framed_inputs();
  inner_ = std::make_unique<RoundingProblem>(
      RoundingProblem{outer.place, *weights_, without_frame(outer.target), inputs ? &inputs->statistics : nullptr,
                      inputs ? inputs->shared : outer.shared, outer.ranks, outer.threads, nullptr, outer.on_progress});
  if (outer.guided != nullptr) move_guided();
}

void FramedProblem::move_guided() {
  const GuidedMoments& outer = *outer_.guided;
  const int64_t rows = outer_.weights.rows(), cols = outer_.weights.cols();
  guided_.emplace(cols, rows, Needs{.guided_moment = true, .output_moment = outer.gradients.has_value()});
  std::optional<BlockRotation> in, out;
  if (frame_.in_block > 0) in = in_rotation(frame_, cols);
  if (frame_.out_block > 0) out = out_rotation(frame_, rows);
  guided_->weighted.moment = moved(outer.in(), {}, in ? &*in : nullptr, outer_.threads);
  if (outer.gradients) {
    guided_->gradients->moment = moved(outer.out(), out_scales_, out ? &*out : nullptr, outer_.threads);
  }
  inner_->guided = &*guided_;
}

const FramedInputs* FramedProblem::framed_inputs() const {
  if (outer_.inputs == nullptr) return nullptr;
  FrameKey key{frame_};
  key.frame.out_block = 0, key.frame.out_scales = false;
  return &outer_.shared.get<FramedInputs>(key, [&] { return moved(*outer_.inputs, frame_, outer_.threads); });
}

void FramedProblem::load_weights() {
  const int64_t rows = outer_.weights.rows(), cols = outer_.weights.cols();
  weights_ = std::make_shared<DenseMatrix>(rows, cols, outer_.weights.decode_all());
  std::vector<float>& w = weights_->values();
  const auto bad = std::find_if(w.begin(), w.end(), [](float x) { return !std::isfinite(x); });
  if (bad != w.end()) {
    const int64_t i = bad - w.begin();
    refuse("{}: weight [{}, {}] is {}", outer_.place, i / cols, i % cols, *bad);
  }
  std::vector<double> squares;
  if (outer_.inputs != nullptr && outer_.inputs->moment) squares = outer_.inputs->moment->mean_squares();
  if (outer_.guided != nullptr) squares = outer_.guided->in().mean_squares();
  const double whole = rms(w.data(), rows * cols);
  if (frame_.out_scales) out_scales_.assign(static_cast<size_t>(rows), 1.0f);
  std::optional<BlockRotation> in;
  if (frame_.in_block > 0) in = in_rotation(frame_, cols);
  outer_.threads.parallel_for(rows, [&](int64_t r) {
    float* row = w.data() + r * cols;
    for (size_t c = 0; c < squares.size(); ++c) {
      if (squares[c] == 0) row[c] = 0;
    }
    const double own = frame_.out_scales ? rms(row, cols) : 0;
    if (own > 0) {
      float& scale = out_scales_[static_cast<size_t>(r)];
      const float rounded = f16_to_f32(f32_to_f16(static_cast<float>(own / whole)));
      if (rounded > 0) scale = rounded;
      for (int64_t c = 0; c < cols; ++c) row[c] /= scale;
    }
    if (in) in->rotate(row, 0, cols, 1);
  });
  if (frame_.out_block == 0) return;
  rotate_columns(w.data(), cols, out_rotation(frame_, rows), outer_.threads);
}

Rounded FramedProblem::finish(Rounded rounded) const {
  std::vector<std::vector<std::byte>> bytes;
  for (const TensorPart& part : rounded.matrix->parts()) bytes.emplace_back(part.bytes.begin(), part.bytes.end());
  const int64_t rows = outer_.weights.rows(), cols = outer_.weights.cols();
  if (frame_.in_scales) {
    const std::vector<float> ones(static_cast<size_t>(cols), 1.0f);
    encode_from_f32(DType::kF16, ones.data(), cols, bytes.emplace_back(static_cast<size_t>(2 * cols)).data());
  }
  if (frame_.out_scales) {
    encode_from_f32(DType::kF16, out_scales_.data(), rows, bytes.emplace_back(static_cast<size_t>(2 * rows)).data());
  }
  Storage storage = rounded.matrix->spec();
  storage.side.frame = frame_;
  rounded.matrix = stored_from_bytes(outer_.place, storage, rows, cols, std::move(bytes));
  return rounded;
}

}  // namespace bitloom
