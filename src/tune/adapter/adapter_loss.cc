#include "tune/adapter/adapter_loss.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "export/module_names.h"
#include "export/peft/adapt.h"
#include "forward/adjoint/model_gradient.h"
#include "linalg/gemm.h"
#include "tune/learned/parametrisation.h"

namespace bitloom {
namespace {

constexpr const char *kA = ".lora_A", *kB = ".lora_B", *kMagnitude = ".lora_magnitude_vector";
constexpr int64_t kPanel = 256;  // rows of a factor's gradient that are made together

/// The token behind each; -1 behind the last of a sequence.
std::vector<int32_t> labels_of(const std::vector<int32_t>& tokens, int64_t length) {
  std::vector<int32_t> labels(tokens.begin() + 1, tokens.end());
  labels.push_back(-1);
  for (size_t last = static_cast<size_t>(length) - 1; last < labels.size(); last += static_cast<size_t>(length)) {
    labels[last] = -1;
  }
  return labels;
}

/// sum += scale * left^T right, left [rows, m], right [rows, n] of row stride n; panels of the result's rows, or of its
/// columns where `by_columns`, on all threads.
struct OuterProduct {
  const float *left, *right;
  int64_t rows, m, n;
  float scale;
};
void add_outer_product(const OuterProduct& of, bool by_columns, std::vector<double>& sum, ThreadPool& threads) {
  const int64_t side = by_columns ? of.n : of.m;
  threads.parallel_for((side + kPanel - 1) / kPanel, [&](int64_t panel) {
    const int64_t begin = panel * kPanel, count = std::min(kPanel, side - begin);
    const int64_t m = by_columns ? of.m : count, n = by_columns ? count : of.n;
    const int64_t row = by_columns ? 0 : begin, column = by_columns ? begin : 0;
    std::vector<float> product(static_cast<size_t>(m * n));
    sgemm(Transpose::kYes, Transpose::kNo, m, n, of.rows, of.scale, of.left + row, of.m, of.right + column, of.n, 0.0f,
          product.data(), n);
    for (int64_t i = 0; i < m; ++i) {
      double* to = sum.data() + (row + i) * of.n + column;
      for (int64_t j = 0; j < n; ++j) to[j] += static_cast<double>(product[static_cast<size_t>(i * n + j)]);
    }
  });
}

/// Of one row: g = dL/dW'_r becomes dL/dV_r; returns dL/dm_r. A row of zeros has no direction, and no gradient.
double direction_gradient(float magnitude, const float* v, int64_t n, float* g) {
  double square = 0, along = 0;
  for (int64_t c = 0; c < n; ++c) {
    square += static_cast<double>(v[c]) * static_cast<double>(v[c]);
    along += static_cast<double>(v[c]) * static_cast<double>(g[c]);
  }
  const double length = std::sqrt(square), factor = square > 0 ? static_cast<double>(magnitude) / length : 0;
  for (int64_t c = 0; c < n; ++c) {
    const double across = square > 0 ? static_cast<double>(g[c]) - along / square * static_cast<double>(v[c]) : 0;
    g[c] = static_cast<float>(factor * across);
  }
  return square > 0 ? along / length : 0;
}

}  // namespace

AdapterLoss::AdapterLoss(std::shared_ptr<const Model> model, PeftAdapter adapter, const TokenSequences& sequences,
                         const std::vector<SequenceChunk>& batches, ThreadPool& threads)
    : model_(std::move(model)),
      adapter_(std::move(adapter)),
      modules_(modules_by_tensor(*model_, adapter_)),
      sequences_(sequences),
      batches_(batches),
      threads_(threads) {
  Vectors start;
  for (const auto& [name, module] : adapter_.modules) {
    start[name + kA] = module.a, start[name + kB] = module.b;
    if (!module.magnitude.empty()) start[name + kMagnitude] = module.magnitude;
  }
  set(std::move(start));
}

std::map<std::string, double> AdapterLoss::sizes() const {
  std::map<std::string, double> sizes;
  for (const auto& [name, values] : vectors_) sizes[name] = 1;
  return sizes;
}

void AdapterLoss::set(Vectors values) {
  vectors_ = std::move(values);
  for (auto& [name, module] : adapter_.modules) {
    module.a = vectors_.at(name + kA), module.b = vectors_.at(name + kB);
    if (!module.magnitude.empty()) module.magnitude = vectors_.at(name + kMagnitude);
  }
  const std::map<std::string, const Linear*> linears = block_linears(model_->graph());
  TensorEdits edits;
  for (const auto& [tensor, module] : modules_) {
    const AdapterModule& of = adapter_.modules.at(module);
    const RowSourcePtr base = model_->matrix(*linears.at(tensor));
    edits.tensors[tensor] = adapted_rows(base, of);
    if (of.magnitude.empty()) continue;
    AdapterModule direction = of;
    direction.magnitude.clear();
    directions_[module] = {adapted_rows(base, std::move(direction)), piece_of(*base)};
  }
  current_ = model_->edited(edits);
}

double AdapterLoss::loss(size_t batch, VectorGradients* gradients, const OfWeights& /*of_weights*/) {
  const SequenceChunk& whole = batches_[batch];
  const int64_t most = std::max<int64_t>(1, kPieceRows / whole.length);
  const double share = 1 / static_cast<double>(whole.batch * (whole.length - 1));
  VectorGradients all;
  GradientSink sink;
  if (gradients != nullptr) {
    for (const auto& [name, values] : vectors_) all[name].resize(values.size());
    sink.linear = [&](const Linear& linear, std::span<const float> x, std::span<const float> dy) {
      const auto module = modules_.find(linear.weight);
      if (module != modules_.end() && !x.empty()) add_gradients(module->second, x, dy, all);
    };
  }
  double sum = 0;
  for (int64_t first = 0; first < whole.batch; first += most) {
    const SequenceChunk piece{whole.first + first, std::min(most, whole.batch - first), whole.length};
    const std::vector<int32_t> tokens = tokens_of(piece, sequences_), labels = labels_of(tokens, piece.length);
    const RowLoss of_row = [share, each = cross_entropy(labels)](int64_t row, std::span<float> logits) {
      const double loss = each(row, logits);
      for (float& value : logits) value = static_cast<float>(static_cast<double>(value) * share);
      return loss * share;
    };
    const GradientBatch of_piece{tokens, piece.batch, piece.length, of_row};
    sum += gradients == nullptr ? model_loss(*current_, of_piece, threads_)
                                : model_gradient(*current_, {&of_piece, 1}, sink, {}, threads_);
  }
  if (gradients != nullptr) *gradients = std::move(all);
  return sum;
}

void AdapterLoss::add_gradients(const std::string& name, std::span<const float> x, std::span<const float> dy,
                                VectorGradients& gradients) const {
  const AdapterModule& module = adapter_.modules.at(name);
  if (!module.magnitude.empty()) return add_dora_gradients(name, x, dy, gradients);
  const int64_t rows = static_cast<int64_t>(x.size()) / module.in, rank = module.rank;
  const auto scale = static_cast<float>(module.scale);
  std::vector<float> inner(static_cast<size_t>(rows * rank)), d_inner(inner.size());  // x A^T and dy B
  sgemm_panels(Transpose::kYes, rows, rank, module.in, 1.0f, x.data(), module.a.data(), 0.0f, inner.data(), threads_);
  sgemm_panels(Transpose::kNo, rows, rank, module.out, 1.0f, dy.data(), module.b.data(), 0.0f, d_inner.data(),
               threads_);
  add_outer_product({dy.data(), inner.data(), rows, module.out, rank, scale}, false, gradients.at(name + kB), threads_);
  add_outer_product({d_inner.data(), x.data(), rows, rank, module.in, scale}, true, gradients.at(name + kA), threads_);
}

// A wave of rows of V at a time, and of it panels; what all of them add to dL/dA is summed panel by panel in their
// order.
void AdapterLoss::add_dora_gradients(const std::string& name, std::span<const float> x, std::span<const float> dy,
                                     VectorGradients& gradients) const {
  const AdapterModule& module = adapter_.modules.at(name);
  const Direction& direction = directions_.at(name);
  const int64_t in = module.in, out = module.out, rank = module.rank, rows = static_cast<int64_t>(x.size()) / in;
  const auto scale = static_cast<float>(module.scale);
  std::vector<double>&of_a = gradients.at(name + kA), &of_b = gradients.at(name + kB),
  &of_magnitude = gradients.at(name + kMagnitude);
  const int64_t wave = rows_of_wave(direction.piece);
  std::vector<float> v(static_cast<size_t>(std::min(wave, out) * in));
  for (int64_t first = 0; first < out; first += wave) {
    const int64_t end = std::min(out, first + wave);
    decode_pieces(*direction.rows, first, end, direction.piece, v.data(), threads_);
    const int64_t panels = (end - first + kGradientPanel - 1) / kGradientPanel;
    std::vector<std::vector<float>> shares(static_cast<size_t>(panels));  // of dL/dA
    threads_.parallel_for(panels, [&](int64_t i) {
      const int64_t begin = first + i * kGradientPanel, count = std::min(kGradientPanel, end - begin);
      std::vector<float> g(static_cast<size_t>(count * in)), own(static_cast<size_t>(count * rank));
      sgemm(Transpose::kYes, Transpose::kNo, count, in, rows, 1.0f, dy.data() + begin, out, x.data(), in, 0.0f,
            g.data(), in);
      for (int64_t r = 0; r < count; ++r) {
        const float* v_row = v.data() + (begin - first + r) * in;
        of_magnitude[static_cast<size_t>(begin + r)] +=
            direction_gradient(module.magnitude[static_cast<size_t>(begin + r)], v_row, in, g.data() + r * in);
      }
      sgemm(Transpose::kNo, Transpose::kYes, count, rank, in, scale, g.data(), in, module.a.data(), in, 0.0f,
            own.data(), rank);
      for (size_t k = 0; k < own.size(); ++k) of_b[static_cast<size_t>(begin * rank) + k] += own[k];
      std::vector<float>& share = shares[static_cast<size_t>(i)];
      share.resize(static_cast<size_t>(rank * in));
      sgemm(Transpose::kYes, Transpose::kNo, rank, in, count, scale, module.b.data() + begin * rank, rank, g.data(), in,
            0.0f, share.data(), in);
    });
    for (const std::vector<float>& share : shares) {
      for (size_t k = 0; k < share.size(); ++k) of_a[k] += share[k];
    }
  }
}

}  // namespace bitloom
