#include "tune/block_tuner.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "base/error.h"
#include "forward/adjoint/block_adjoint.h"
#include "forward/attention/rope.h"
#include "pipeline/walk/stream/token_entrance.h"
#include "round/round_matrix.h"
#include "tune/learned/latent_grid.h"
#include "tune/learned/learned_weights.h"
#include "tune/learner.h"
#include "tune/model_size.h"

namespace bitloom {
namespace {

/// Neighbouring sequences of a chunk.
struct Piece {
  int64_t chunk = 0, first = 0;  // row
  int64_t batch = 0, length = 0;
  int64_t rows() const { return batch * length; }
};

constexpr uint64_t kProductStream = 0x636F7272656374;  // "correct"; one for each matrix from there on

/// What is learned of a block's matrices: a product for each grid where the options want one, else what it has.
Parametriser parametriser(const BlockTuningTransform& options, uint64_t seed, const BlockLesson& lesson,
                          ThreadPool& threads) {
  if (options.correction == 0) {
    return [](const std::string& name, const auto& matrix) { return parametrise(name, matrix, Learned::kAll); };
  }
  return [&options, seed, &lesson, &threads, stream = kProductStream](
             const std::string& name, const auto& matrix) mutable -> std::unique_ptr<const Parametrisation> {
    const auto before = lesson.before.find(name);
    if (before == lesson.before.end() || !has_latent_weights(matrix->spec())) {
      return parametrise(name, matrix, Learned::kAll);
    }
    const Unrounded& of = before->second;
    const Correction correction{std::min({options.correction, matrix->rows(), matrix->cols()}), seed, stream++};
    if (options.parity == BlockTuningTransform::Parity::kNone) {
      return corrected_grid(*matrix, *of.weights, correction);
    }
    RoundingTarget target = of.target;
    target.storage = matrix->spec();  // which the rounding may have chosen
    return corrected_beside(*matrix, of.weights, correction, [name, target, &threads](const RowSource& weights) {
      InputCache cache;
      Ranks alone;
      return round_matrix(Rounding(), {name, weights, target, nullptr, cache, alone, threads}).matrix;
    });
  };
}

/// `batch` sequences of each chunk at a time.
std::vector<Piece> pieces_of(const std::vector<SequenceChunk>& chunks, int64_t batch) {
  std::vector<Piece> pieces;
  for (size_t c = 0; c < chunks.size(); ++c) {
    const SequenceChunk& chunk = chunks[c];
    for (int64_t s = 0; s < chunk.batch && chunk.length > 0; s += batch) {
      pieces.push_back({static_cast<int64_t>(c), s * chunk.length, std::min(batch, chunk.batch - s), chunk.length});
    }
  }
  return pieces;
}

std::vector<int64_t> rows_in(const std::vector<Piece>& pieces) {
  std::vector<int64_t> rows;
  for (const Piece& piece : pieces) rows.push_back(piece.rows());
  return rows;
}

class BlockError final : public Objective {
 public:
  BlockError(const BlockLesson& lesson, const FinishedMatrices& finished, const Parametriser& parametrise,
             const std::vector<Piece>& pieces, ThreadPool& threads)
      : lesson_(lesson),
        pieces_(pieces),
        threads_(threads),
        weights_(lesson.model, finished, parametrise, lesson.block) {
    weights_.round_inputs(lesson.formats);
    const int rope = graph().blocks[static_cast<size_t>(lesson.block)].attention.rope;
    if (rope < 0) return;
    rope_.emplace(graph().ropes[static_cast<size_t>(rope)]);
    for (const Piece& piece : pieces) rope_->reach(piece.length);
  }

  const LearnedWeights& weights() const { return weights_; }
  const Vectors& vectors() const override { return weights_.vectors(); }
  std::map<std::string, double> sizes() const override { return weights_.sizes(); }
  void set(Vectors values) override { weights_.set(std::move(values)); }

  double loss(size_t batch, VectorGradients* gradients, const OfWeights& of_weights) override {
    const Piece& piece = pieces_[batch];
    std::vector<float> stream = read(lesson_.input, piece);
    const std::vector<float> target = read(lesson_.target, piece);
    const Pass pass = Pass::whole(piece.batch, piece.length);
    LearnedWeights::Unscaled unscaled;
    const BlockWeights weights =
        weights_.load_block(lesson_.block, gradients != nullptr ? &unscaled : nullptr, threads_);
    BlockAdjoint adjoint(graph(), lesson_.block, weights, rope_ ? &*rope_ : nullptr);
    adjoint.run(pass, stream.data(), threads_);
    const double error = to_gradient(target, stream);
    if (gradients == nullptr) return error;
    *gradients = weights_.no_gradients();
    adjoint.backward(stream.data(), weights_.sink(unscaled, *gradients, of_weights, threads_), threads_);
    return error;
  }

 private:
  const Graph& graph() const { return lesson_.model.graph(); }

  std::vector<float> read(const std::function<void(int64_t, float*)>& of, const Piece& piece) const {
    const int64_t hidden = graph().hidden;
    std::vector<float> chunk(static_cast<size_t>(lesson_.chunks[static_cast<size_t>(piece.chunk)].rows() * hidden));
    of(piece.chunk, chunk.data());
    const auto first = chunk.begin() + piece.first * hidden;
    return {first, first + piece.rows() * hidden};
  }

  /// The mean error; the stream becomes its gradient.
  double to_gradient(const std::vector<float>& target, std::vector<float>& stream) const {
    const int64_t hidden = graph().hidden, rows = static_cast<int64_t>(stream.size()) / hidden;
    std::vector<double> errors(static_cast<size_t>(rows));
    threads_.parallel_for(rows, [&](int64_t r) {
      const float* y = target.data() + r * hidden;
      float* x = stream.data() + r * hidden;
      double error = 0, size = 0;
      for (int64_t c = 0; c < hidden; ++c) {
        const double off = static_cast<double>(x[c]) - static_cast<double>(y[c]);
        error += off * off, size += static_cast<double>(y[c]) * static_cast<double>(y[c]);
      }
      const double weight = size > 0 ? 1 / (size * static_cast<double>(rows)) : 0;
      for (int64_t c = 0; c < hidden; ++c) {
        x[c] = static_cast<float>(2 * weight * (static_cast<double>(x[c]) - static_cast<double>(y[c])));
      }
      errors[static_cast<size_t>(r)] = error * weight;
    });
    double sum = 0;
    for (const double error : errors) sum += error;
    return sum;
  }

  const BlockLesson& lesson_;
  const std::vector<Piece>& pieces_;
  ThreadPool& threads_;
  LearnedWeights weights_;
  std::optional<RopeTable> rope_;
};

/// The mean error over the rows of some pieces.
double error_on(BlockError& error, const std::vector<Piece>& pieces, const std::vector<size_t>& places) {
  double sum = 0, rows = 0;
  for (const size_t place : places) {
    const auto count = static_cast<double>(pieces[place].rows());
    sum += count * error.loss(place, nullptr, {}), rows += count;
  }
  return sum / rows;
}

const BlockTuningTransform& options_of(const QuantizeTask& task) {
  return *find_transform<BlockTuningTransform>(task.recipe);
}

std::vector<Piece> pieces_of(const QuantizeTask& task) {
  return pieces_of(make_chunks(lengths_of(task.options.data->sequences)), options_of(task).batch);
}

/// A product has gradients through grids alone.
void check_correction(const QuantizeTask& task) {
  const int64_t rank = options_of(task).correction;
  const std::vector<Site> sites = linear_sites(task.model->graph());
  const bool corrects = std::any_of(sites.begin(), sites.end(), [&](const Site& site) {
    const auto step = task.steps.find(site.linear->weight);
    return step != task.steps.end() && has_latent_weights(step->second.storage());
  });
  if (rank == 0 || corrects) return;
  misuse(
      "recipe '{}': correction={} of 'tune-blocks' is for grids without side terms, and no matrix of the blocks is one",
      task.recipe.name, rank);
}

void check_block_tuning(const QuantizeTask& task) {
  check_correction(task);
  if (task.options.data == nullptr) misuse("recipe '{}' needs calibration data", task.recipe.name);
  const size_t sequences = task.options.data->sequences.size();
  if (pieces_of(task).size() > 1) return;
  misuse("recipe '{}' holds out one batch of sequences: {} of them make one; {}", task.recipe.name, sequences,
         sequences > 1 ? "give tune-blocks a smaller batch" : "at least 2 are needed");
}

BlockTuningCost cost_of_block_tuning(const QuantizeTask& task) {
  const BlockTuningTransform& options = options_of(task);
  const std::vector<int64_t> rows = rows_in(pieces_of(task));
  const Split split = split_batches(rows.size());
  const ModelSize size = size_of(task, Learned::kAll, options.correction);
  const Graph& graph = task.model->graph();
  const auto learned = static_cast<double>(rows_of(rows, split.learned_from));
  const auto held_out = static_cast<double>(rows_of(rows, split.held_out));
  const double work = size.work / static_cast<double>(std::max<size_t>(graph.blocks.size(), 1));
  const auto epochs = static_cast<double>(options.epochs), checks = static_cast<double>(checks_of_epoch(split));
  const int64_t most = *std::max_element(rows.begin(), rows.end());
  BlockTuningCost cost;
  // A step: forward once, back with respect to what is read and to the weights. The target: forward once.
  cost.flops = 2 * work * (learned + 2 * held_out + epochs * (3 * learned + checks * held_out));
  const auto losses = epochs * static_cast<double>(split.learned_from.size() + checks * split.held_out.size());
  cost.flops += losses * kLatentWork * static_cast<double>(size.learned_of_block.rounded);
  // A chunk and a batch of both streams, a batch's activations, the block's weights twice, panels of their gradients.
  cost.memory = bytes_of(size.learned_of_block) + 4 * (2 * (std::max(kChunkRows, most) + most) * graph.hidden +
                                                       most * size.activations + 2 * size.block + size.panels);
  // What is read of an input that is rounded, the same before it is, and its gradient; weights before they are rounded.
  if (!task.activations.empty()) cost.memory += 4 * most * 3 * size.widest_input;
  if (options.correction > 0) cost.memory += 4 * size.block;
  return cost;
}

TunedBlock tune_block(const BlockTuningTransform& options, uint64_t seed, const BlockLesson& lesson,
                      const std::function<void(double)>& advance, Context& context) {
  const std::vector<Piece> pieces = pieces_of(lesson.chunks, options.batch);
  const Parametriser parametrise = parametriser(options, seed, lesson, context.threads);
  BlockError error(lesson, lesson.finished, parametrise, pieces, context.threads);
  double work = 1;
  Learner learner(
      error,
      {.name = fmt::format("block {}", lesson.block),
       .loss = "error",
       .rows = rows_in(pieces),
       .epochs = options.epochs,
       .rate = options.rate,
       .seed = seed,
       // Codes that change together cost more at first than they bring.
       .ends_early = options.correction == 0},
      [&](int64_t rows, const std::string&) { advance(static_cast<double>(rows) / work); }, context.progress);
  work = static_cast<double>(std::max<int64_t>(learner.work_left(), 1));
  learner.run();
  const LearningState& state = learner.state();
  TunedBlock tuned;
  tuned.record = {.before = state.held_out.first,
                  .after = state.held_out.best,
                  .tokens = rows_of(rows_in(pieces), learner.split().held_out),
                  .best_step = state.held_out.best_step,
                  .steps = state.adam.steps};
  if (state.held_out.best_step == 0) return tuned;
  tuned.matrices = error.weights().matrices();
  tuned.norms = error.weights().norms();
  if (options.correction > 0 && options.parity == BlockTuningTransform::Parity::kPaper) {
    // The sum is another matrix than that which was learned.
    FinishedMatrices fused = lesson.finished;
    for (const auto& [name, matrix] : tuned.matrices) fused[name] = matrix;
    BlockError of_fused(
        lesson, fused, [](const std::string&, const auto&) { return nullptr; }, pieces, context.threads);
    Vectors norms = of_fused.vectors();
    for (const auto& [name, values] : tuned.norms) norms[name] = values;
    of_fused.set(std::move(norms));
    tuned.record.after = error_on(of_fused, pieces, learner.split().held_out);
  }
  return tuned;
}

}  // namespace

const BlockTuner kBlockTuner = {check_block_tuning, cost_of_block_tuning, tune_block};

}  // namespace bitloom
