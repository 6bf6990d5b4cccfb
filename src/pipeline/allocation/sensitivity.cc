#include "pipeline/allocation/sensitivity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/memory/dense_matrix.h"
#include "base/rng.h"
#include "eval/divergence.h"
#include "eval/logits/replayed_logits.h"
#include "eval/scoring.h"
#include "forward/adjoint/model_gradient.h"
#include "forward/decoder.h"
#include "forward/workspace.h"
#include "linalg/gemm.h"
#include "observe/moment/guided_moments.h"
#include "pipeline/allocation/storage_error.h"
#include "pipeline/ranks/rank_work.h"
#include "round/feedback_share.h"
#include "round/problem.h"

namespace bitloom {
namespace {

constexpr int64_t kTileRows = 64;                // of a gradient, at a time and thread
constexpr size_t kHeldOut = 4;                   // one of so many texts tells what factors of the others leave
constexpr int64_t kProjections = 16;             // of a sequence's gradient, on either side
constexpr uint64_t kSignStream = 0x7369676e73;   // of the random numbers
constexpr uint64_t kNoiseStream = 0x616c6c6f63;  // of the random numbers, with the tensor's number added

/// W and normal noise: row r gets the variance error * mean_c W(r, c)^2.
RowSourcePtr disturbed(const RowSource& w, double error, uint64_t seed, uint64_t stream, ThreadPool& threads) {
  std::vector<float> values(static_cast<size_t>(w.rows() * w.cols()));
  threads.parallel_for(w.rows(), [&](int64_t r) {
    const std::span<float> row(values.data() + r * w.cols(), static_cast<size_t>(w.cols()));
    w.decode_rows(r, r + 1, row.data());
    double squares = 0;
    for (const float value : row) squares += double{value} * value;
    const double deviation = std::sqrt(error * squares / static_cast<double>(w.cols()));
    Rng rng(seed + static_cast<uint64_t>(r), stream);
    for (float& value : row) value = static_cast<float>(value + deviation * rng.normal());
  });
  return dense_matrix(w.rows(), w.cols(), std::move(values));
}

/// The first tokens of the first sequences that have two at least.
std::vector<std::vector<int32_t>> beginnings(const std::vector<std::vector<int32_t>>& sequences, int64_t count,
                                             int64_t tokens) {
  std::vector<std::vector<int32_t>> result;
  for (const std::vector<int32_t>& sequence : sequences) {
    if (std::ssize(result) == count) break;
    if (sequence.size() < 2) continue;
    result.emplace_back(sequence.begin(), sequence.begin() + std::min<int64_t>(std::ssize(sequence), tokens));
  }
  if (result.empty()) misuse("an allocation of bits needs a sequence of two tokens at least to try its storages on");
  return result;
}

TextWindows windows_of(std::vector<std::vector<int32_t>> sequences) {
  TextWindows text;
  for (std::vector<int32_t>& sequence : sequences) {
    text.windows.push_back({std::move(sequence), 1});
    text.scored_tokens += text.windows.back().scored();
    text.text_tokens += std::ssize(text.windows.back().tokens);
  }
  return text;
}

/// W [out, in] by tensor name: of what a graph calls a linear layer, and of its embedding.
std::map<std::string, RowSourcePtr> matrices_of(const Model& model) {
  std::map<std::string, RowSourcePtr> matrices;
  const Graph& graph = model.graph();
  for (const Site& site : linear_sites(graph)) matrices.emplace(site.linear->weight, model.matrix(*site.linear));
  if (!graph.tied_head) matrices.emplace(graph.head.weight, model.matrix(graph.head));
  matrices.emplace(graph.embedding, model.tensor(graph.embedding).rows);
  return matrices;
}

/// sum_r s_r |sum_t g_tr x_t|^2 of x [tokens, in], g [tokens, out], s [out].
double damage(std::span<const float> x, std::span<const float> g, std::span<const double> s, ThreadPool& threads) {
  const auto out = std::ssize(s), tokens = std::ssize(g) / out;
  if (tokens == 0) return 0;
  const int64_t in = std::ssize(x) / tokens, tiles = (out + kTileRows - 1) / kTileRows;
  std::vector<double> of_row(static_cast<size_t>(out));
  threads.parallel_for(tiles, [&](int64_t tile) {
    const int64_t first = tile * kTileRows, rows = std::min(kTileRows, out - first);
    std::vector<float> gradient(static_cast<size_t>(rows * in));  // of these rows of W
    sgemm(Transpose::kYes, Transpose::kNo, rows, in, tokens, 1.0f, g.data() + first, out, x.data(), in, 0.0f,
          gradient.data(), in);
    for (int64_t r = 0; r < rows; ++r) {
      double squares = 0;
      for (int64_t c = 0; c < in; ++c) squares += double{gradient[r * in + c]} * gradient[r * in + c];
      of_row[first + r] = s[first + r] * squares;
    }
  });
  return std::accumulate(of_row.begin(), of_row.end(), 0.0);
}

void check_gradients(const Model& model, const std::vector<RoundedGroup>& groups,
                     const std::vector<double>& sensitivities, int64_t labels) {
  bool any = false;
  for (size_t g = 0; g < groups.size(); ++g) {
    any |= sensitivities[g] > 0;
    if (std::isfinite(sensitivities[g])) continue;
    fail(ErrorKind::kFailed, "{}: tensor '{}': its gradients are not finite", model.path(), groups[g].tensors.front());
  }
  if (any || groups.empty()) return;
  fail(ErrorKind::kFailed,
       "{}: the gradients of all matrices, such as '{}', are 0 on all {} tokens: nothing tells which "
       "of them need bits",
       model.path(), groups.front().tensors.front(), labels);
}

int64_t moment_bytes(int64_t channels) {
  const int64_t tiles = (channels + SecondMoment::kTile - 1) / SecondMoment::kTile;
  return 8 * SecondMoment::kTile * SecondMoment::kTile * (tiles * (tiles + 1) / 2);
}

bool any_feedback(const std::vector<RoundedGroup>& groups) {
  return std::any_of(groups.begin(), groups.end(),
                     [](const RoundedGroup& g) { return knows_feedback_share(g.rounding); });
}

/// The sum over sequences of f sum_r v_r |G_r|^2 of each group, block by block.
class GroupDamage {
 public:
  GroupDamage(const Model& model, const std::vector<RoundedGroup>& groups, size_t batches, Context& context)
      : model_(model), groups_(groups), batches_(batches), context_(context), damages_(groups.size()) {
    for (size_t g = 0; g < groups.size(); ++g) {
      for (const std::string& name : groups[g].tensors) group_of_[name] = g;
    }
    for (const auto& [name, matrix] : matrices_of(model)) {
      if (group_of_.contains(name)) matrices_[name] = matrix;
    }
  }

  std::vector<double> of(std::span<const GradientBatch> batches) {
    GradientSink sink;
    sink.linear = [&](const Linear& linear, std::span<const float> x, std::span<const float> dy) {
      add(linear, x, dy);
    };
    size_t passed = 0;
    const auto end_of_block = [&](int block, std::span<const float>) {
      context_.progress.advance(1, fmt::format("block {}/{}", block + 1, model_.graph().blocks.size()));
      batch_ = ++passed % batches_;
      if (batch_ == 0) finish();
    };
    model_gradient(model_, batches, sink, end_of_block, context_.threads);
    return damages_;
  }

 private:
  /// What is known of a layer of the block that is being differentiated.
  struct Layer {
    std::vector<double> noise;  // v
    double damage = 0;
    InputStatistics inputs;
    std::optional<GuidedMoments> guided = {};
    std::optional<GuidedMoments> errors = {};  // of G^T z and G z, G of a sequence, z random signs
  };

  void add(const Linear& linear, std::span<const float> x, std::span<const float> dy) {
    const auto found = group_of_.find(linear.weight);
    if (found == group_of_.end()) return;
    const RoundedGroup& group = groups_[found->second];
    auto known = layers_.find(linear.weight);
    if (known == layers_.end()) known = layers_.emplace(linear.weight, new_layer(linear, group)).first;
    Layer& layer = known->second;
    layer.damage += damage(x, dy, layer.noise, context_.threads);
    if (!knows_feedback_share(group.rounding)) return;
    const int64_t tokens = std::ssize(x) / linear.in;
    const bool held_out = batch_ % kHeldOut == kHeldOut - 1;
    if (!held_out || batches_ < kHeldOut) {
      if (layer.inputs.moment) layer.inputs.add(nullptr, x.data(), tokens, context_.threads);
      if (layer.guided) layer.guided->add(x.data(), dy.data(), tokens, context_.threads);
    }
    if (!held_out && batches_ >= kHeldOut) return;
    const auto stream = kSignStream + static_cast<uint64_t>(seen_++);
    const std::vector<float> rows = projections(dy, x, linear.out, linear.in, stream),
                             cols = projections(x, dy, linear.in, linear.out, stream);
    layer.errors->weighted.add(nullptr, rows.data(), kProjections, context_.threads);
    layer.errors->gradients->add(nullptr, cols.data(), kProjections, context_.threads);
  }

  /// [kProjections, b's channels]: z^T a^T b, z [a's channels] random signs.
  static std::vector<float> projections(std::span<const float> a, std::span<const float> b, int64_t a_channels,
                                        int64_t b_channels, uint64_t stream) {
    const int64_t tokens = std::ssize(a) / a_channels;
    std::vector<float> z(static_cast<size_t>(kProjections * a_channels)),
        az(static_cast<size_t>(kProjections * tokens)), result(static_cast<size_t>(kProjections * b_channels));
    Rng rng(0, stream);
    for (float& sign : z) sign = rng.uniform() < 0.5f ? -1.0f : 1.0f;
    sgemm(Transpose::kNo, Transpose::kYes, kProjections, tokens, a_channels, 1.0f, z.data(), a_channels, a.data(),
          a_channels, 0.0f, az.data(), tokens);
    sgemm(Transpose::kNo, Transpose::kNo, kProjections, b_channels, tokens, 1.0f, az.data(), tokens, b.data(),
          b_channels, 0.0f, result.data(), b_channels);
    return result;
  }

  Layer new_layer(const Linear& linear, const RoundedGroup& group) const {
    Needs needs = knows_feedback_share(group.rounding) ? needs_of(group.rounding) : Needs{};
    Layer layer{noise_of_rows(*matrices_.at(linear.weight), group.target, context_.threads), 0,
                InputStatistics(linear.in, {.second_moment = !needs_gradients(needs) && needs.second_moment})};
    if (needs_gradients(needs)) layer.guided.emplace(linear.in, linear.out, needs);
    constexpr Needs kBoth{.guided_moment = true, .output_moment = true};
    if (knows_feedback_share(group.rounding)) layer.errors.emplace(linear.in, linear.out, kBoth);
    return layer;
  }

  /// That its factors would be made from.
  static int64_t tokens_of(const Layer& layer) {
    return layer.guided ? layer.guided->weighted.tokens() : layer.inputs.tokens();
  }

  void finish() {
    Ranks alone;
    for (auto& [name, layer] : layers_) {
      const size_t group = group_of_.at(name);
      const bool seen = layer.damage > 0 && tokens_of(layer) > 0;  // not an expert that no token reached
      double share = 1;
      if (seen && std::isfinite(layer.damage) && knows_feedback_share(groups_[group].rounding)) {
        InputCache cache;
        const RoundingProblem problem{model_.path() + ": tensor '" + name + "'",
                                      *matrices_.at(name),
                                      groups_[group].target,
                                      &layer.inputs,
                                      cache,
                                      alone,
                                      context_.threads,
                                      layer.guided ? &*layer.guided : nullptr};
        share = feedback_share(groups_[group].rounding, problem, *layer.errors);
      }
      damages_[group] += share * layer.damage;
    }
    layers_.clear();
  }

  const Model& model_;
  const std::vector<RoundedGroup>& groups_;
  const size_t batches_;
  Context& context_;
  std::map<std::string, size_t> group_of_;
  std::map<std::string, RowSourcePtr> matrices_;
  std::map<std::string, Layer> layers_;
  size_t batch_ = 0;
  int64_t seen_ = 0;  // calls with a layer of a group whose feedback counts
  std::vector<double> damages_;
};

/// Of a block's moments, and of what feedback makes of one layer's: W and moments in its frame twice, a factor, its
/// inverse and what they are made from.
int64_t feedback_bytes(const Graph& graph, const std::vector<RoundedGroup>& groups) {
  std::map<std::string, const RoundedGroup*> group_of;
  for (const RoundedGroup& group : groups) {
    for (const std::string& name : group.tensors) group_of[name] = &group;
  }
  std::map<int, int64_t> moments;  // by block
  int64_t most = 0, largest = 0;
  for (const Site& site : linear_sites(graph)) {
    const auto found = group_of.find(site.linear->weight);
    if (found == group_of.end() || !knows_feedback_share(found->second->rounding)) continue;
    const int64_t in = site.linear->in, out = site.linear->out;
    const bool both = needs_of(found->second->rounding).output_moment;
    const int64_t own = 2 * moment_bytes(in) + (both ? 2 : 1) * moment_bytes(out);
    most = std::max(most, moments[site.block] += own);
    const int64_t side = both ? std::max(in, out) : in;
    largest = std::max(largest, 8 * in * out + own + 16 * side * side);
  }
  return most + largest;
}

int64_t pass_bytes(const Graph& graph, int64_t rows) {
  Workspace work;
  work.reserve(graph, 1);
  return work.bytes() * rows;
}

}  // namespace

std::vector<double> gradient_sensitivities(const Model& model, const std::vector<RoundedGroup>& groups,
                                           const std::vector<std::vector<int32_t>>& sequences, uint64_t seed,
                                           Ranks& ranks, Context& context) {
  const bool feedback = any_feedback(groups);
  const auto texts = beginnings(sequences, feedback ? kFeedbackSequences : kGradientSequences, kGradientTokens);
  const ProgressTask task(context.progress, "gradients", std::ssize(texts) * std::ssize(model.graph().blocks));
  std::vector<GradientBatch> batches;
  int64_t first = 0;  // of each text among all of their tokens
  for (const std::vector<int32_t>& tokens : texts) {
    const int64_t length = std::ssize(tokens);
    batches.push_back({tokens, 1, length, sampled_cross_entropy(seed, first, length)});
    first += length;
  }
  const auto of_batches = [&](std::span<const GradientBatch> some) {
    GroupDamage damage(model, groups, some.size(), context);
    return damage.of(some);
  };
  std::vector<std::vector<double>> damages;
  if (feedback) {  // known from all texts together
    damages.push_back(of_batches(batches));
  } else {
    damages = made_by_ranks(std::ssize(batches), ranks, [&](int64_t text) {
      return of_batches(std::span(batches).subspan(static_cast<size_t>(text), 1));
    });
  }
  const int64_t labels = first - std::ssize(texts);
  std::vector<double> sensitivities(groups.size());
  for (const std::vector<double>& some : damages) {
    for (size_t g = 0; g < groups.size(); ++g) sensitivities[g] += some[g] / (2 * static_cast<double>(labels));
  }
  check_gradients(model, groups, sensitivities, labels);
  return sensitivities;
}

std::vector<double> probe_sensitivities(const Model& model, const std::vector<Disturbance>& disturbances,
                                        const std::vector<std::vector<int32_t>>& sequences, uint64_t seed, Ranks& ranks,
                                        Context& context) {
  const TextWindows windows = windows_of(beginnings(sequences, kProbeSequences, kProbeTokens));
  const std::map<std::string, RowSourcePtr> matrices = matrices_of(model);
  Decoder original(std::make_shared<const Model>(model), context.threads);
  ReplayedLogits reference(original);
  Progress silent;
  Context quiet{context.threads, silent};
  const ProgressTask task(context.progress, "sensitivities", std::ssize(disturbances));
  std::vector<uint64_t> streams = {kNoiseStream};  // of each disturbance's first tensor
  for (const Disturbance& disturbance : disturbances) streams.push_back(streams.back() + disturbance.tensors.size());
  const auto of_disturbance = [&](int64_t d) {
    const Disturbance& disturbance = disturbances[static_cast<size_t>(d)];
    uint64_t stream = streams[static_cast<size_t>(d)];
    TensorEdits edits;
    for (const std::string& name : disturbance.tensors) {
      edits.tensors[name] = disturbed(*matrices.at(name), disturbance.error, seed, stream++, context.threads);
    }
    Decoder decoder(std::make_shared<const Model>(model.edited(edits)), context.threads);
    const double kl = divergence(reference, *logits_of(decoder), windows, quiet).kl_mean;
    context.progress.advance(1, disturbance.tensors.front());
    return std::vector<double>{disturbance.error > 0 ? kl / disturbance.error : 0};
  };
  std::vector<double> sensitivities;
  for (const std::vector<double>& one : made_by_ranks(std::ssize(disturbances), ranks, of_disturbance)) {
    sensitivities.push_back(one.front());
  }
  return sensitivities;
}

int64_t gradient_sensitivities_memory(const Model& model, const std::vector<RoundedGroup>& groups, int threads) {
  const Graph& graph = model.graph();
  const auto blocks = static_cast<int64_t>(graph.blocks.size());
  int64_t widest = graph.hidden, rows = graph.vocab_size;
  for (const Site& site : linear_sites(graph)) widest = std::max(widest, site.linear->in), rows += site.linear->out;
  // The streams before all blocks; a pass, and what its block keeps with the gradients of that; logits, and a row's in
  // three forms; decoded tiles of W and of its gradient; a number for each row.
  const int64_t texts = any_feedback(groups) ? kFeedbackSequences : 1;
  const int64_t streams = (blocks + 1) * texts * kGradientTokens * graph.hidden;
  const int64_t logits = 2 * std::min(kHeadRows, kGradientTokens) * graph.vocab_size + 3 * threads * graph.vocab_size;
  return 4 * (streams + logits + 2 * threads * kTileRows * widest) + 5 * pass_bytes(graph, kGradientTokens) + 8 * rows +
         feedback_bytes(graph, groups);
}

int64_t probe_sensitivities_memory(const Model& model, const std::vector<Disturbance>& disturbances, int threads) {
  const Graph& graph = model.graph();
  const std::map<std::string, RowSourcePtr> matrices = matrices_of(model);
  int64_t most = 0;
  for (const Disturbance& disturbance : disturbances) {
    int64_t weights = 0;
    for (const std::string& name : disturbance.tensors)
      weights += matrices.at(name)->rows() * matrices.at(name)->cols();
    most = std::max(most, weights);
  }
  // The disturbed matrix; the original's states; two passes, logits of both, and decoded tiles.
  const int64_t states = kProbeSequences * kProbeTokens * graph.hidden, logits = 2 * kScoreRows * graph.vocab_size;
  return 4 * (most + states + logits + threads * kTileRows * graph.hidden) + 2 * pass_bytes(graph, kProbeTokens);
}

}  // namespace bitloom
