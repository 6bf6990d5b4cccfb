#include "tune/student.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "forward/adjoint/block_adjoint.h"
#include "forward/adjoint/head_adjoint.h"
#include "forward/block.h"
#include "forward/layers/embedding.h"

namespace bitloom {
namespace {

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

Student::Student(const Model& model, const FinishedMatrices& finished, Learned what)
    : Student(model, finished,
              [what](const std::string& name, const auto& matrix) { return parametrise(name, matrix, what); }) {}

Student::Student(const Model& model, const FinishedMatrices& finished, const Parametriser& parametrise)
    : weights_(model, finished, parametrise), outer_(load_outer_weights(weights_.current())) {
  for (const Rope& rope : weights_.graph().ropes) ropes_.emplace_back(rope);
}

void Student::set(Vectors values) {
  weights_.set(std::move(values));
  outer_ = load_outer_weights(weights_.current());
}

// The head takes rows in pieces, and so are target logits.
double Student::head_loss(const TargetLogits& target, std::vector<float>& stream, int64_t rows,
                          const GradientSink& sink, ThreadPool& threads) const {
  const Graph& graph = weights_.graph();
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
  const int rope = weights_.graph().blocks[static_cast<size_t>(block)].attention.rope;
  return rope < 0 ? nullptr : &ropes_[static_cast<size_t>(rope)];
}

double Student::kl(std::span<const int32_t> tokens, int64_t batch, int64_t length, const TargetLogits& target,
                   VectorGradients* gradients, ThreadPool& threads, const OfWeights& of_weights) {
  const Graph& graph = weights_.graph();
  const auto blocks = static_cast<int>(graph.blocks.size());
  const Pass pass = Pass::whole(batch, length);
  check_tokens(weights_.current(), outer_, tokens, length);
  for (RopeTable& rope : ropes_) rope.reach(length);
  work_.reserve(graph, pass.rows());
  embed_tokens(graph, outer_, tokens, pass, work_, threads);
  const int64_t count = pass.rows() * graph.hidden;
  std::vector<std::vector<float>> inputs;
  for (int b = 0; b < blocks; ++b) {
    if (gradients != nullptr) inputs.emplace_back(work_.hidden.begin(), work_.hidden.begin() + count);
    const BlockWeights weights = weights_.load_block(b, nullptr, threads);
    BlockRunner(graph, b, weights, rope_of(b)).run(pass, work_, threads);
  }
  VectorGradients all;
  GradientSink of_head;
  if (gradients != nullptr) all = weights_.no_gradients(), of_head.vectors = &all;
  std::vector<float> stream(work_.hidden.begin(), work_.hidden.begin() + count);
  const double loss = head_loss(target, stream, pass.rows(), of_head, threads);
  if (gradients == nullptr) return loss;
  for (int b = blocks - 1; b >= 0; --b) {
    LearnedWeights::Unscaled unscaled;
    const BlockWeights weights = weights_.load_block(b, &unscaled, threads);
    const GradientSink sink = weights_.sink(unscaled, all, of_weights, threads);
    BlockAdjoint adjoint(graph, b, weights, rope_of(b));
    adjoint.run(pass, inputs[static_cast<size_t>(b)].data(), threads);
    adjoint.backward(stream.data(), sink, threads);
    inputs.pop_back();
  }
  *gradients = std::move(all);
  return loss;
}

}  // namespace bitloom
