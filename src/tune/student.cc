#include "tune/student.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/dense_matrix.h"
#include "forward/adjoint/block_adjoint.h"
#include "forward/adjoint/head_adjoint.h"
#include "forward/block.h"
#include "forward/embedding.h"
#include "linalg/gemm.h"

namespace bitloom {
namespace {

constexpr const char *kIn = ".in_scales", *kOut = ".out_scales";  // parts of a frame
constexpr int64_t kPanel = 64;                                    // rows of a weight's gradient at a time

std::vector<std::byte> as_f16(const std::vector<float>& values) {
  std::vector<std::byte> bytes(2 * values.size());
  encode_from_f32(DType::kF16, values.data(), static_cast<int64_t>(values.size()), bytes.data());
  return bytes;
}

/// What a matrix with other scales is made of.
struct Rescaled {
  std::shared_ptr<const StoredMatrix> original;          // all its other parts
  std::map<std::string, std::vector<std::byte>> scales;  // by suffix
};

/// The matrix with other scales; with none at all where `vectors` is null. Its other parts are the original's.
std::shared_ptr<const StoredMatrix> rescaled(const std::string& name, std::shared_ptr<const StoredMatrix> original,
                                             const Vectors* vectors) {
  const auto owner = std::make_shared<Rescaled>(Rescaled{std::move(original), {}});
  const StoredMatrix& matrix = *owner->original;
  Storage storage = matrix.spec();
  if (vectors == nullptr) storage.side.frame.in_scales = storage.side.frame.out_scales = false;
  std::vector<TensorPart> parts;
  for (TensorPart part : matrix.parts()) {
    if (part.suffix == kIn || part.suffix == kOut) {
      if (vectors == nullptr) continue;
      const std::vector<std::byte>& bytes = owner->scales[part.suffix] = as_f16(vectors->at(name + part.suffix));
      part.dtype = DType::kF16, part.bytes = bytes;
    }
    parts.push_back(std::move(part));
  }
  return StoredMatrix::from_parts(name, storage, matrix.rows(), matrix.cols(), parts, owner);
}

/// Rows that are decoded together: blocks of a rotation are not decoded twice.
int64_t piece_of(const StoredMatrix* matrix) {
  const FrameStorage frame = matrix != nullptr ? matrix->spec().side.frame : FrameStorage{};
  return std::max(kPanel, frame.out_block > 0 ? out_rotation(frame, matrix->rows()).block() : 1);
}

std::vector<float> decoded(const RowSource& rows, int64_t piece, ThreadPool& threads) {
  std::vector<float> values(static_cast<size_t>(rows.rows() * rows.cols()));
  threads.parallel_for((rows.rows() + piece - 1) / piece, [&](int64_t i) {
    rows.decode_rows(i * piece, std::min(rows.rows(), (i + 1) * piece), values.data() + i * piece * rows.cols());
  });
  return values;
}

// log of the sum of exponentials.
double log_sum(std::span<const float> z) {
  const double most = *std::max_element(z.begin(), z.end());
  double sum = 0;
  for (const float x : z) sum += std::exp(x - most);
  return most + std::log(sum);
}

}  // namespace

double kl_of_row(std::span<const float> target, double factor, std::span<float> logits) {
  const double of_target = log_sum(target), of_logits = log_sum(logits);
  double kl = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double log_p = target[i] - of_target, log_q = logits[i] - of_logits, p = std::exp(log_p);
    kl += p > 0 ? p * (log_p - log_q) : 0;
    logits[i] = static_cast<float>((std::exp(log_q) - p) * factor);
  }
  return kl;
}

Student::Student(const Model& model, const FinishedMatrices& finished)
    : model_([&] {
        TensorEdits edits;
        for (const auto& [name, of] : finished) edits.tensors[name] = of.matrix;
        return model.edited(edits);
      }()) {
  const Graph& graph = model_.graph();
  for (const Rope& rope : graph.ropes) ropes_.emplace_back(rope);
  for (const auto& [name, of] : finished) add_scales(name, of);
  for (const Block& block : graph.blocks) {
    for (const Norm* norm :
         {&block.attention_norm, &block.post_attention_norm, &block.attention_residual_norm, &block.mlp_norm,
          &block.post_mlp_norm, &block.mlp_residual_norm, &block.attention.q_norm, &block.attention.k_norm,
          &block.attention.latent.q_norm, &block.attention.latent.kv_norm}) {
      add_norm(*norm);
    }
  }
  add_norm(graph.final_norm);
  current_ = model_;
  outer_ = load_outer_weights(model_);
}

void Student::add_norm(const Norm& norm) {
  if (norm.weight.empty()) return;
  std::vector<float> values = model_.vector(norm.weight);
  const auto fits = [](float x) { return std::isfinite(f16_to_f32(f32_to_f16(x))); };
  if (!std::all_of(values.begin(), values.end(), fits)) return;
  norms_.push_back(norm.weight);
  vectors_.emplace(norm.weight, std::move(values));
}

void Student::add_scales(const std::string& name, const FinishedMatrix& finished) {
  bool any = false;
  for (const char* suffix : {kIn, kOut}) {
    const TensorPart* part = finished.matrix->find_part(suffix);
    if (part == nullptr) continue;
    std::vector<float>& values = vectors_[name + suffix];
    values.resize(static_cast<size_t>(part->shape[0]));
    decode_to_f32(part->dtype, part->bytes.data(), 0, part->shape[0], values.data());
    any = true;
  }
  if (any) framed_.emplace(name, Framed{finished, rescaled(name, finished.matrix, nullptr)});
}

std::map<std::string, double> Student::sizes() const {
  std::map<std::string, double> sizes;
  for (const auto& [name, values] : vectors_) {
    const bool is_norm = std::find(norms_.begin(), norms_.end(), name) != norms_.end();
    const double more = is_norm && adds_one(model_.graph().norm) ? 1 : 0;
    double sum = 0;
    for (const float value : values) sum += std::pow(static_cast<double>(value) + more, 2);
    sizes[name] = sum > 0 ? std::sqrt(sum / static_cast<double>(values.size())) : 1;
  }
  return sizes;
}

void Student::set(Vectors values) {
  TensorEdits edits;
  for (auto& [name, of] : values) {
    for (float& value : of) value = finite_f16(value);
  }
  vectors_ = std::move(values);
  for (const std::string& name : norms_) {
    const std::vector<float>& of = vectors_.at(name);
    edits.tensors[name] = dense_matrix(1, static_cast<int64_t>(of.size()), of);
  }
  current_ = model_.edited(edits);
  outer_ = load_outer_weights(*current_);
}

const std::vector<float>* Student::scales(const std::string& matrix, const char* part) const {
  const auto found = vectors_.find(matrix + part);
  return found == vectors_.end() ? nullptr : &found->second;
}

// Dense weights; `unscaled`, where wanted, gets V of the matrices that have scales.
BlockWeights Student::load_block(int block, std::map<std::string, Dense>* unscaled, ThreadPool& threads) const {
  BlockWeights weights = load_block_weights(*current_, block);
  weights.rounders.clear();
  const std::vector<Linear>& linears = model_.graph().blocks[static_cast<size_t>(block)].linears;
  for (size_t l = 0; l < linears.size(); ++l) {
    RowSourcePtr& weight = weights.linears[l].weight;
    if (weight == nullptr) continue;
    const std::string& name = linears[l].weight;
    const auto framed = framed_.find(name);
    const RowSource& source = framed == framed_.end() ? *weight : *framed->second.unscaled;
    Dense values = decoded(source, piece_of(dynamic_cast<const StoredMatrix*>(&source)), threads);
    if (framed != framed_.end()) {
      if (unscaled != nullptr) (*unscaled)[name] = values;
      const std::vector<float>*in = scales(name, kIn), *out = scales(name, kOut);
      threads.parallel_for(source.rows(), [&](int64_t r) {
        float* row = values.data() + r * source.cols();
        for (int64_t c = 0; c < source.cols() && in != nullptr; ++c) row[c] *= (*in)[static_cast<size_t>(c)];
        for (int64_t c = 0; c < source.cols() && out != nullptr; ++c) row[c] *= (*out)[static_cast<size_t>(r)];
      });
    }
    weight = dense_matrix(source.rows(), source.cols(), std::move(values));
  }
  return weights;
}

void Student::add_gradients(const Framed& framed, const Linear& linear, const Dense& v, std::span<const float> x,
                            std::span<const float> dy, VectorGradients& gradients, ThreadPool& threads) const {
  const int64_t out = linear.out, in = linear.in, rows = static_cast<int64_t>(x.size()) / in;
  const std::string& name = framed.finished.site.name;
  const std::vector<float>*of_in = scales(name, kIn), *of_out = scales(name, kOut);
  const int64_t panels = (out + kPanel - 1) / kPanel;
  std::vector<double> d_out(static_cast<size_t>(out)), d_in(static_cast<size_t>(panels * in));
  threads.parallel_for(panels, [&](int64_t panel) {
    const int64_t begin = panel * kPanel, count = std::min(kPanel, out - begin);
    std::vector<float> g(static_cast<size_t>(count * in));
    sgemm(Transpose::kYes, Transpose::kNo, count, in, rows, 1.0f, dy.data() + begin, out, x.data(), in, 0.0f, g.data(),
          in);
    double* sums = d_in.data() + panel * in;
    for (int64_t r = 0; r < count; ++r) {
      const float *g_row = g.data() + r * in, *v_row = v.data() + (begin + r) * in;
      const double scale = of_out != nullptr ? (*of_out)[static_cast<size_t>(begin + r)] : 1;
      double sum = 0;
      for (int64_t c = 0; c < in; ++c) {
        const double product = static_cast<double>(g_row[c]) * static_cast<double>(v_row[c]);
        sum += product * (of_in != nullptr ? (*of_in)[static_cast<size_t>(c)] : 1);
        sums[c] += product * scale;
      }
      d_out[static_cast<size_t>(begin + r)] = sum;
    }
  });
  if (of_out != nullptr) {
    std::vector<double>& to = gradients.at(name + kOut);
    for (size_t i = 0; i < to.size(); ++i) to[i] += d_out[i];
  }
  if (of_in == nullptr) return;
  std::vector<double>& to = gradients.at(name + kIn);
  for (size_t i = 0; i < d_in.size(); ++i) to[i % static_cast<size_t>(in)] += d_in[i];
}

// The head takes rows in pieces, and so are target logits.
double Student::head_loss(const TargetLogits& target, std::vector<float>& stream, int64_t rows,
                          const GradientSink& sink, ThreadPool& threads) const {
  const Graph& graph = model_.graph();
  const int64_t vocab = graph.vocab_size;
  const double share = 1 / static_cast<double>(rows);
  std::vector<float> logits(static_cast<size_t>(std::min(rows, kHeadRows) * vocab));
  double sum = 0;
  for (int64_t first = 0; first < rows; first += kHeadRows) {
    const int64_t count = std::min(kHeadRows, rows - first);
    target(first, count, logits.data());
    const RowLoss loss = [&](int64_t row, std::span<float> z) {
      return kl_of_row({logits.data() + row * vocab, static_cast<size_t>(vocab)}, share, z);
    };
    sum += head_adjoint(graph, outer_, stream.data() + first * graph.hidden, count, loss, sink, threads);
  }
  return sum * share;
}

const RopeTable* Student::rope_of(int block) const {
  const int rope = model_.graph().blocks[static_cast<size_t>(block)].attention.rope;
  return rope < 0 ? nullptr : &ropes_[static_cast<size_t>(rope)];
}

double Student::kl(std::span<const int32_t> tokens, int64_t batch, int64_t length, const TargetLogits& target,
                   VectorGradients* gradients, ThreadPool& threads) {
  const Graph& graph = model_.graph();
  const auto blocks = static_cast<int>(graph.blocks.size());
  const Pass pass = Pass::whole(batch, length);
  check_tokens(model_, outer_, tokens, length);
  for (RopeTable& rope : ropes_) rope.reach(length);
  work_.reserve(graph, pass.rows());
  embed_tokens(graph, outer_, tokens, pass, work_, threads);
  const int64_t count = pass.rows() * graph.hidden;
  std::vector<std::vector<float>> inputs;
  for (int b = 0; b < blocks; ++b) {
    if (gradients != nullptr) inputs.emplace_back(work_.hidden.begin(), work_.hidden.begin() + count);
    const BlockWeights weights = load_block(b, nullptr, threads);
    BlockRunner(graph, b, weights, rope_of(b)).run(pass, work_, threads);
  }
  VectorGradients all;
  for (const auto& [name, values] : vectors_) all[name].resize(values.size());
  GradientSink sink;
  if (gradients != nullptr) sink.vectors = &all;
  std::vector<float> stream(work_.hidden.begin(), work_.hidden.begin() + count);
  const double loss = head_loss(target, stream, pass.rows(), sink, threads);
  if (gradients == nullptr) return loss;
  for (int b = blocks - 1; b >= 0; --b) {
    std::map<std::string, Dense> unscaled;
    const BlockWeights weights = load_block(b, &unscaled, threads);
    sink.linear = [&](const Linear& linear, std::span<const float> x, std::span<const float> dy) {
      const auto framed = framed_.find(linear.weight);
      if (framed == framed_.end()) return;
      add_gradients(framed->second, linear, unscaled.at(linear.weight), x, dy, all, threads);
    };
    BlockAdjoint adjoint(graph, b, weights, rope_of(b));
    adjoint.run(pass, inputs[static_cast<size_t>(b)].data(), threads);
    adjoint.backward(stream.data(), sink, threads);
    inputs.pop_back();
  }
  *gradients = std::move(all);
  return loss;
}

FinishedMatrices Student::matrices() const {
  FinishedMatrices matrices;
  for (const auto& [name, framed] : framed_) {
    matrices[name] = {rescaled(name, framed.finished.matrix, &vectors_), framed.finished.site};
  }
  return matrices;
}

Vectors Student::norms() const {
  Vectors norms;
  for (const std::string& name : norms_) norms[name] = vectors_.at(name);
  return norms;
}

}  // namespace bitloom
