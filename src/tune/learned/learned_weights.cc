#include "tune/learned/learned_weights.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/memory/dense_matrix.h"
#include "linalg/gemm.h"

namespace bitloom {
namespace {

constexpr int64_t kPanel = kGradientPanel, kWave = kGradientWave;

Model with_matrices(const Model& model, const FinishedMatrices& finished) {
  TensorEdits edits;
  for (const auto& [name, of] : finished) edits.tensors[name] = of.matrix;
  return model.edited(edits);
}

}  // namespace

LearnedWeights::LearnedWeights(const Model& model, const FinishedMatrices& finished, Learned what,
                               std::optional<int> block)
    : LearnedWeights(
          model, finished,
          [what](const std::string& name, const auto& matrix) { return bitloom::parametrise(name, matrix, what); },
          block) {}

LearnedWeights::LearnedWeights(const Model& model, const FinishedMatrices& finished, const Parametriser& parametrise,
                               std::optional<int> block)
    : model_(with_matrices(model, finished)), current_(model_) {
  for (const auto& [name, of] : finished) add_matrix(name, of, parametrise);
  const std::vector<Block>& blocks = graph().blocks;
  for (size_t b = 0; b < blocks.size(); ++b) {
    if (block && static_cast<size_t>(*block) != b) continue;
    for (const Norm* norm :
         {&blocks[b].attention_norm, &blocks[b].post_attention_norm, &blocks[b].attention_residual_norm,
          &blocks[b].mlp_norm, &blocks[b].post_mlp_norm, &blocks[b].mlp_residual_norm, &blocks[b].attention.q_norm,
          &blocks[b].attention.k_norm, &blocks[b].attention.latent.q_norm, &blocks[b].attention.latent.kv_norm}) {
      add_norm(*norm);
    }
  }
  if (!block) add_norm(graph().final_norm);
}

void LearnedWeights::add_norm(const Norm& norm) {
  if (norm.weight.empty()) return;
  std::vector<float> values = model_.vector(norm.weight);
  const auto fits = [](float x) { return std::isfinite(f16_to_f32(f32_to_f16(x))); };
  if (!std::all_of(values.begin(), values.end(), fits)) return;
  norms_.push_back(norm.weight);
  vectors_.emplace(norm.weight, std::move(values));
}

void LearnedWeights::add_matrix(const std::string& name, const FinishedMatrix& finished,
                                const Parametriser& parametrise) {
  std::unique_ptr<const Parametrisation> parts = parametrise(name, finished.matrix);
  if (parts == nullptr) return;
  for (const LearnedPart& part : parts->parts()) vectors_.emplace(name + part.suffix, part.start);
  if (parts->tile() > 0) codes_.emplace(name, std::vector<uint16_t>(parts->codes().begin(), parts->codes().end()));
  matrices_.emplace(name, Matrix{finished, std::move(parts)});
}

std::map<std::string, double> LearnedWeights::sizes() const {
  std::map<std::string, double> sizes;
  for (const auto& [name, values] : vectors_) {
    const bool is_norm = std::find(norms_.begin(), norms_.end(), name) != norms_.end();
    const double more = is_norm && adds_one(graph().norm) ? 1 : 0;
    double sum = 0;
    for (const float value : values) sum += std::pow(static_cast<double>(value) + more, 2);
    sizes[name] = sum > 0 ? std::sqrt(sum / static_cast<double>(values.size())) : 1;
  }
  for (const auto& [name, matrix] : matrices_) {
    for (const LearnedPart& part : matrix.parts->parts()) {
      if (part.size > 0) sizes[name + part.suffix] = part.size;
    }
  }
  return sizes;
}

void LearnedWeights::set(Vectors values) {
  for (const auto& [name, matrix] : matrices_) {
    for (const LearnedPart& part : matrix.parts->parts()) {
      if (part.is_latent) continue;
      std::vector<float>& of = values.at(name + part.suffix);
      for (float& value : of) {
        value = finite_f16(value);
        if (part.not_negative) value = value > part.least ? value : part.least;
      }
      if (part.to_stored) part.to_stored(stored_[name + part.suffix] = of);
    }
  }
  for (const std::string& name : norms_) {
    for (float& value : values.at(name)) value = finite_f16(value);
  }
  vectors_ = std::move(values);
  TensorEdits edits;
  for (const std::string& name : norms_) {
    const std::vector<float>& of = vectors_.at(name);
    edits.tensors[name] = dense_matrix(1, static_cast<int64_t>(of.size()), of);
  }
  current_ = model_.edited(edits);
}

void LearnedWeights::settle(Vectors& values, int64_t step, int64_t steps) const {
  for (const auto& [name, matrix] : matrices_) {
    std::vector<std::vector<float>*> of_matrix;
    for (const LearnedPart& part : matrix.parts->parts()) of_matrix.push_back(&values.at(name + part.suffix));
    matrix.parts->settle(of_matrix, step, steps);
  }
}

Parametrisation::Values LearnedWeights::values_of(const std::string& name, const Parametrisation& parts) const {
  Parametrisation::Values values;
  for (const LearnedPart& part : parts.parts()) {
    const auto stored = stored_.find(name + part.suffix);
    values.parts.push_back(stored != stored_.end() ? &stored->second : &vectors_.at(name + part.suffix));
  }
  if (const auto codes = codes_.find(name); codes != codes_.end()) values.codes = &codes->second;
  return values;
}

std::map<std::string, int64_t> LearnedWeights::code_entries() const {
  std::map<std::string, int64_t> entries;
  for (const auto& [name, codes] : codes_) entries[name] = matrices_.at(name).parts->entries();
  return entries;
}

CodeState LearnedWeights::begin_codes(ThreadPool& threads) const {
  CodeState state{codes_, {}, {}};
  for (const auto& [name, codes] : codes_) {
    const Matrix& matrix = matrices_.at(name);
    const StoredMatrix& stored = *matrix.finished.matrix;
    const auto& w = state.wanted[name] =
        dense_weights({*matrix.parts, values_of(name, *matrix.parts), stored.rows(), stored.cols()}, threads);
    state.second[name].resize(w.size());
  }
  return state;
}

void LearnedWeights::choose_codes(const CodeOptions& options, CodeState& state, ThreadPool& threads) {
  for (auto& [name, codes] : codes_) {
    const Matrix& matrix = matrices_.at(name);
    const StoredMatrix& stored = *matrix.finished.matrix;
    bitloom::choose_codes({*matrix.parts, values_of(name, *matrix.parts), stored.rows(), stored.cols()}, options, codes,
                          state.wanted.at(name), threads);
  }
  state.codes = codes_;
}

void LearnedWeights::check_moves(int block, const std::map<int, InputRounder>& of_model) const {
  const auto rounders = rounders_.find(block);
  for (const auto& [input, rounder] : of_model) {
    const bool is_rounded = rounders != rounders_.end() && rounders->second.contains(input);
    if (is_rounded || rounder.reassembly().empty()) continue;
    refuse("block {}, {}: its channels are split and merged as it is rounded, and cannot be read as they are", block,
           input_at(graph(), block, input).name);
  }
}

void LearnedWeights::round_inputs(const InputFormats& formats) {
  for (const auto& [place, format] : formats) {
    const auto& [block, input] = place;
    rounders_[block].insert_or_assign(input, InputRounder(format, input_at(graph(), block, input).width));
  }
}

BlockWeights LearnedWeights::load_block(int block, Unscaled* unscaled, ThreadPool& threads) const {
  BlockWeights weights = load_block_weights(*current_, block);
  check_moves(block, weights.rounders);
  weights.rounders.clear(), weights.operands.clear();
  if (const auto rounders = rounders_.find(block); rounders != rounders_.end()) weights.rounders = rounders->second;
  const std::vector<Linear>& linears = graph().blocks[static_cast<size_t>(block)].linears;
  for (size_t l = 0; l < linears.size(); ++l) {
    RowSourcePtr& weight = weights.linears[l].weight;
    if (weight == nullptr) continue;
    const std::string& name = linears[l].weight;
    const int64_t rows = weight->rows(), cols = weight->cols();
    std::vector<float> dense;
    if (const auto learned = matrices_.find(name); learned == matrices_.end()) {
      dense = decode_dense(*weight, piece_of(*weight), threads);
    } else {
      const Parametrisation& parts = *learned->second.parts;
      const Parametrisation::Values values = values_of(name, parts);
      dense = parts.unscaled(values, threads);
      if (unscaled != nullptr) (*unscaled)[name] = dense;
      threads.parallel_for(rows, [&](int64_t r) { parts.scale_row(values, r, dense.data() + r * cols); });
    }
    weight = dense_matrix(rows, cols, std::move(dense));
  }
  return weights;
}

VectorGradients LearnedWeights::no_gradients() const {
  VectorGradients gradients;
  for (const auto& [name, values] : vectors_) gradients[name].resize(values.size());
  return gradients;
}

GradientSink LearnedWeights::sink(const Unscaled& unscaled, VectorGradients& gradients, const OfWeights& of_weights,
                                  ThreadPool& threads) const {
  GradientSink sink;
  sink.vectors = &gradients;
  sink.linear = [this, &unscaled, &gradients, &of_weights, &threads](const Linear& linear, std::span<const float> x,
                                                                     std::span<const float> dy) {
    const auto learned = matrices_.find(linear.weight);
    if (learned == matrices_.end()) return;
    add_gradients(linear.weight, *learned->second.parts, unscaled.at(linear.weight), x, dy, gradients, of_weights,
                  threads);
  };
  return sink;
}

// Panels of rows at a time; parts that all rows add to are summed panel by panel in their order.
void LearnedWeights::add_gradients(const std::string& name, const Parametrisation& parts, const std::vector<float>& v,
                                   std::span<const float> x, std::span<const float> dy, VectorGradients& gradients,
                                   const OfWeights& of_weights, ThreadPool& threads) const {
  const Parametrisation::Values values = values_of(name, parts);
  const StoredMatrix& matrix = *matrices_.at(name).finished.matrix;
  const int64_t out = matrix.rows(), in = matrix.cols(), rows = static_cast<int64_t>(x.size()) / in;
  const int64_t panels = (out + kPanel - 1) / kPanel;
  for (int64_t first = 0; first < panels; first += kWave) {
    const int64_t wave = std::min(kWave, panels - first);
    std::vector<std::vector<std::vector<double>>> shared(static_cast<size_t>(wave));  // [panel][part]
    threads.parallel_for(wave, [&](int64_t i) {
      const int64_t begin = (first + i) * kPanel, count = std::min(kPanel, out - begin);
      std::vector<float> g(static_cast<size_t>(count * in));
      sgemm(Transpose::kYes, Transpose::kNo, count, in, rows, 1.0f, dy.data() + begin, out, x.data(), in, 0.0f,
            g.data(), in);
      std::vector<std::vector<double>>& own = shared[static_cast<size_t>(i)];
      Parametrisation::Sums sums;
      for (const LearnedPart& part : parts.parts()) {
        std::vector<double>& of_part = own.emplace_back(part.by_rows ? 0 : part.start.size());
        sums.push_back(part.by_rows ? gradients.at(name + part.suffix).data() : of_part.data());
      }
      parts.add_gradient(values, {begin, count, g.data()}, v.data() + begin * in, sums);
      if (of_weights && values.codes != nullptr) of_weights(name, begin * in, g);
    });
    for (const auto& of_panel : shared) {
      for (size_t p = 0; p < of_panel.size(); ++p) {
        std::vector<double>& to = gradients.at(name + parts.parts()[p].suffix);
        for (size_t i = 0; i < of_panel[p].size(); ++i) to[i] += of_panel[p][i];
      }
    }
  }
}

FinishedMatrices LearnedWeights::matrices() const {
  FinishedMatrices changed;
  for (const auto& [name, matrix] : matrices_) {
    Parametrisation::Values values;
    for (const LearnedPart& part : matrix.parts->parts()) values.parts.push_back(&vectors_.at(name + part.suffix));
    if (const auto codes = codes_.find(name); codes != codes_.end()) values.codes = &codes->second;
    FinishedMatrix& now = changed[name];
    now = {matrix.parts->store(name, matrix.finished.matrix, values), matrix.finished.site};
    now.site.storage = now.matrix->storage();  // its format may have been learned
  }
  return changed;
}

Vectors LearnedWeights::norms() const {
  Vectors norms;
  for (const std::string& name : norms_) norms[name] = vectors_.at(name);
  return norms;
}

}  // namespace bitloom
