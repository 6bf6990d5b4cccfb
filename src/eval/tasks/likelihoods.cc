#include "eval/tasks/likelihoods.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "eval/logits/token_tree.h"
#include "eval/row_math.h"
#include "eval/scoring.h"

namespace bitloom {
namespace {

int64_t longest_of(const RequestGroup& group) {
  size_t longest = 0;
  for (const ScoredTokens& request : group.requests) longest = std::max(longest, request.tokens.size());
  return static_cast<int64_t>(longest);
}

/// Counts what a batch would run as requests come in order: a request costs what it does not share with the one before,
/// and what all share is kept from the batch before.
struct BatchCost {
  std::span<const int32_t> last;
  int64_t shared = -1, total = 0;

  void add(const ScoredTokens& request) {
    const std::span<const int32_t> tokens(request.tokens);
    const int64_t common = shared < 0 ? 0 : static_cast<int64_t>(common_prefix(last, tokens));
    total += static_cast<int64_t>(tokens.size()) - common;
    shared = shared < 0 ? static_cast<int64_t>(tokens.size()) : std::min(shared, common);
    last = tokens;
  }
  bool fits() const { return total - shared <= kBatchTokens; }
};

std::vector<size_t> running_order(std::span<const RequestGroup> groups) {
  std::vector<size_t> order(groups.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (groups[a].cluster != groups[b].cluster) return groups[a].cluster < groups[b].cluster;
    return longest_of(groups[a]) > longest_of(groups[b]);
  });
  return order;
}

/// One scored token of a batch: the row that predicts it, and where its likelihood goes.
struct Target {
  LogitsSource::Row row;
  int32_t token;
  Likelihood* sum;
};

/// Adds the rows' log-probabilities to their sums, in order. A few rows of logits in memory at a time.
void add_targets(LogitsSource& model, std::span<const Target> targets, const std::string& label, Context& context) {
  const int64_t vocab = model.vocab_size();
  std::vector<float> logits(static_cast<size_t>(kScoreRows * vocab));
  struct Score {
    double nll;
    int64_t top, bad;
  };
  for (size_t from = 0; from < targets.size(); from += kScoreRows) {
    const std::span<const Target> part = targets.subspan(from, std::min<size_t>(kScoreRows, targets.size() - from));
    std::vector<LogitsSource::Row> rows;
    for (const Target& target : part) rows.push_back(target.row);
    model.logits_at(rows, logits.data());
    std::vector<Score> scores(part.size());
    context.threads.parallel_for(static_cast<int64_t>(part.size()), [&](int64_t i) {
      const std::span<const float> row(logits.data() + i * vocab, static_cast<size_t>(vocab));
      Score& score = scores[static_cast<size_t>(i)];
      score.bad = first_non_finite(row);
      if (score.bad >= 0) return;
      score.nll = row_nll(row, part[static_cast<size_t>(i)].token);
      score.top = top_of(row).index;
    });
    for (size_t i = 0; i < part.size(); ++i) {
      if (scores[i].bad >= 0)
        fail(ErrorKind::kFailed, "{}: logit of token {} is not finite at position {}", label, scores[i].bad,
             part[i].row.position);
      part[i].sum->log_likelihood -= scores[i].nll;
      part[i].sum->tokens += 1;
      part[i].sum->greedy = part[i].sum->greedy && scores[i].top == part[i].token;
    }
  }
}

void check_tokens(std::span<const RequestGroup> groups, int64_t vocab) {
  for (const RequestGroup& group : groups)
    for (const ScoredTokens& request : group.requests)
      for (const int32_t token : request.tokens)
        if (token < 0 || token >= vocab)
          refuse("token {} is outside the model's vocabulary of {}: the tokenizer is not this model's", token, vocab);
}

}  // namespace

std::vector<Batch> plan_batches(std::span<const RequestGroup> groups) {
  std::vector<Batch> batches;
  BatchCost cost;
  for (const size_t group : running_order(groups)) {
    BatchCost with = cost;
    for (const ScoredTokens& request : groups[group].requests) with.add(request);
    if (batches.empty() || !with.fits()) {
      batches.emplace_back();
      with = {};
      for (const ScoredTokens& request : groups[group].requests) with.add(request);
    }
    cost = with;
    batches.back().groups.push_back(group);
    batches.back().tokens = cost.total;
  }
  return batches;
}

std::vector<std::vector<Likelihood>> log_likelihoods(LogitsSource& model, std::span<const RequestGroup> groups,
                                                     const std::string& label, Context& context) {
  check_tokens(groups, model.vocab_size());
  const std::vector<Batch> batches = plan_batches(groups);
  int64_t total = 0, done = 0;
  for (const Batch& batch : batches) total += batch.tokens;
  const ProgressTask task(context.progress, label, total);
  std::vector<std::vector<Likelihood>> result(groups.size());
  for (const Batch& batch : batches) {
    std::vector<std::vector<int32_t>> inputs;
    std::vector<Target> targets;
    for (const size_t group : batch.groups) {
      result[group].resize(groups[group].requests.size());
      for (size_t r = 0; r < groups[group].requests.size(); ++r) {
        const ScoredTokens& request = groups[group].requests[r];
        const auto sequence = static_cast<int64_t>(inputs.size()), size = static_cast<int64_t>(request.tokens.size());
        for (int64_t at = size - request.scored; at < size; ++at)
          targets.push_back({{sequence, at - 1}, request.tokens[static_cast<size_t>(at)], &result[group][r]});
        inputs.emplace_back(request.tokens.begin(), request.tokens.end() - 1);
      }
    }
    model.run_all(inputs);
    add_targets(model, targets, label, context);
    done += static_cast<int64_t>(batch.groups.size());
    context.progress.advance(batch.tokens, fmt::format("item {} of {}", done, groups.size()));
  }
  return result;
}

}  // namespace bitloom
