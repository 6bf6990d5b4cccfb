#include "runtime/batch/batcher.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "runtime/batch/stop_filter.h"
#include "runtime/generate.h"
#include "runtime/generate_loop.h"

namespace bitloom {
namespace {

/// Fewer tokens of a prompt are not taken at a time, however many prompts there are.
constexpr int64_t kLeastShare = 16;

bool is_cancelled(const TextRequest& request) { return request.cancelled && request.cancelled->load(); }

/// log softmax(logits): of `id`, and of the `count` likeliest.
TokenLogprob logprob_of(std::span<const float> logits, int32_t id, int count) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += std::exp(x - most);
  const double base = most + std::log(sum);
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto shown = order.begin() + std::min<std::ptrdiff_t>(count, static_cast<std::ptrdiff_t>(order.size()));
  const auto at = [&](int32_t token) { return logits[static_cast<size_t>(token)]; };
  std::partial_sort(order.begin(), shown, order.end(),
                    [&](int32_t a, int32_t b) { return at(a) != at(b) ? at(a) > at(b) : a < b; });
  TokenLogprob out{id, at(id) - base, {}};
  for (auto token = order.begin(); token != shown; ++token) out.top.emplace_back(*token, at(*token) - base);
  return out;
}

}  // namespace

struct Batcher::Sequence {
  Sequence(TextRequest asked, TextSink to, const Tokenizer& tokenizer)
      : request(std::move(asked)),
        sink(std::move(to)),
        sampler(request.sampler),
        ids(request.prompt),
        stream(tokenizer, true, request.prompt),
        filter(request.stop) {}

  TextRequest request;
  TextSink sink;
  Sampler sampler;
  PagePool::Lease lease;
  std::vector<int32_t> ids;  // prompt and answer
  int64_t done = 0;          // tokens whose keys and values are there
  int64_t rows = 0;          // of the pass
  std::vector<KvRun> runs;   // of the pass
  TokenLogprob next;         // sampled by the pass
  std::string failure;       // what kept it from sampling
  Tokenizer::Stream stream;
  StopFilter filter;
  size_t pushed = 0, given = 0;                        // bytes of text that came from the tokens, and went out
  std::deque<std::pair<size_t, TokenLogprob>> unsent;  // tokens, by the byte that they begin at
  bool ended = false;

  int64_t left() const { return static_cast<int64_t>(ids.size()) - done; }
  bool wants_logits() const { return rows > 0 && rows == left(); }
  int64_t answered() const { return static_cast<int64_t>(ids.size() - request.prompt.size()); }
};

Batcher::Batcher(Decoder& decoder, const Tokenizer& tokenizer, ThreadPool& threads, const BatchLimits& limits)
    : decoder_(decoder),
      tokenizer_(tokenizer),
      threads_(threads),
      limits_(limits),
      end_ids_(end_ids(decoder.graph(), tokenizer)),
      memory_(decoder.graph(), limits.pages, limits.kv),
      pool_(limits.pages, kKvPageRows) {}

Batcher::~Batcher() = default;

/// Positions whose keys and values are kept: all tokens but the last of an answer.
int64_t Batcher::rows_of(const TextRequest& request) const {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t context =
      decoder_.graph().max_positions > 0 ? decoder_.graph().max_positions : std::numeric_limits<int64_t>::max();
  const int64_t room = std::numeric_limits<int64_t>::max() - prompt;
  return std::max(prompt, std::min(context, prompt + std::min(request.max_tokens, room) - 1));
}

void Batcher::check(const TextRequest& request) const {
  const Graph& graph = decoder_.graph();
  const Sampler checks_options(request.sampler);
  const auto length = static_cast<int64_t>(request.prompt.size());
  if (request.max_tokens < 0) misuse("{} tokens to generate: must be 0 or more", request.max_tokens);
  if (length == 0) refuse("the prompt has no tokens");
  for (const int32_t id : request.prompt)
    if (id < 0 || id >= graph.vocab_size)
      refuse("token {} of the prompt: must be from 0 to {}", id, graph.vocab_size - 1);
  if (graph.max_positions > 0 && length > graph.max_positions)
    refuse("the prompt has {} tokens, the model's context is {}", length, graph.max_positions);
  if (length > pool_.rows()) refuse("the prompt has {} tokens, the cache holds {}", length, pool_.rows());
  if (rows_of(request) > pool_.rows())
    refuse("prompt and answer take {} tokens of cache, there are {}: ask for fewer than {} tokens", rows_of(request),
           pool_.rows(), request.max_tokens);
}

void Batcher::add(TextRequest request, TextSink sink) {
  ++counts_.requests;
  waiting_.push_back(std::make_unique<Sequence>(std::move(request), std::move(sink), tokenizer_));
}

BatchCounts Batcher::counts() const {
  BatchCounts counts = counts_;
  counts.running = std::count_if(running_.begin(), running_.end(), [](const SequencePtr& s) { return !s->ended; });
  counts.waiting = static_cast<int64_t>(waiting_.size());
  counts.pages_held = pool_.held();
  counts.pages = pool_.pages();
  return counts;
}

bool Batcher::step() {
  drop_ended();
  admit();
  if (running_.empty()) return false;
  plan();
  run();
  for (const SequencePtr& sequence : running_) accept(*sequence);
  std::erase_if(running_, [](const SequencePtr& sequence) { return sequence->ended; });
  return true;
}

void Batcher::end_all(EndReason reason, const std::string& message) {
  for (const SequencePtr& sequence : running_) end(*sequence, reason, message);
  for (const SequencePtr& sequence : waiting_) end(*sequence, reason, message);
  running_.clear();
  waiting_.clear();
}

void Batcher::drop_ended() {
  const auto now = std::chrono::steady_clock::now();
  const auto drop = [&](const SequencePtr& sequence) {
    if (is_cancelled(sequence->request)) {
      end(*sequence, EndReason::kCancelled);
    } else if (now >= sequence->request.deadline) {
      end(*sequence, EndReason::kTimeLimit);
    }
    return sequence->ended;
  };
  std::erase_if(running_, drop);
  std::erase_if(waiting_, drop);
}

/// Whether a running sequence is on its way to pages that the request would share.
bool Batcher::computes_prefix_of(const TextRequest& request) const {
  const std::vector<int32_t>& prompt = request.prompt;
  const int64_t there = pool_.shared_rows(prompt);
  return std::any_of(running_.begin(), running_.end(), [&](const SequencePtr& other) {
    const std::vector<int32_t>& of_other = other->request.prompt;
    const auto same =
        std::mismatch(prompt.begin(), prompt.end() - 1, of_other.begin(), of_other.end()).first - prompt.begin();
    const int64_t shared = same / kKvPageRows * kKvPageRows;
    return shared > there && other->done < shared;
  });
}

void Batcher::admit() {
  for (auto at = waiting_.begin(); at != waiting_.end() && static_cast<int64_t>(running_.size()) < limits_.sequences;) {
    Sequence& sequence = **at;
    if (computes_prefix_of(sequence.request)) {
      ++at;
      continue;
    }
    std::optional<PagePool::Lease> lease = pool_.lease(sequence.ids, rows_of(sequence.request));
    if (!lease) return;  // others must not pass it for ever
    sequence.lease = std::move(*lease);
    sequence.done = sequence.lease.shared_rows;
    counts_.shared_tokens += sequence.done;
    running_.push_back(std::move(*at));
    at = waiting_.erase(at);
  }
}

/// How many rows each sequence has in the next pass.
void Batcher::plan() {
  int64_t prompts = 0;
  for (const SequencePtr& sequence : running_) prompts += sequence->left() > 1 ? 1 : 0;
  const bool answers = prompts < static_cast<int64_t>(running_.size());
  int64_t budget = answers ? limits_.prompt_rows : kPromptChunk;
  for (const SequencePtr& sequence : running_) {
    const int64_t left = sequence->left();
    sequence->rows = left;
    if (left == 1) continue;
    const int64_t share = std::max(kLeastShare, budget / prompts--);
    sequence->rows = std::min({left, share, budget});
    budget -= sequence->rows;
  }
}

void Batcher::run() {
  std::vector<SequenceStep> steps;
  std::vector<Sequence*> sampling;
  for (const SequencePtr& sequence : running_) {
    if (sequence->rows == 0) continue;
    sequence->runs.clear();
    memory_.add_runs(sequence->lease.pages, sequence->done + sequence->rows, sequence->runs);
    const std::span<const int32_t> ids(sequence->ids);
    steps.push_back({ids.subspan(static_cast<size_t>(sequence->done), static_cast<size_t>(sequence->rows)),
                     sequence->done, sequence->runs});
  }
  const std::span<const float> hidden = decoder_.steps(steps);
  const auto width = static_cast<size_t>(decoder_.hidden_width()),
             vocab = static_cast<size_t>(decoder_.graph().vocab_size);
  hidden_.clear();
  size_t row = 0;
  for (const SequencePtr& sequence : running_) {
    row += static_cast<size_t>(sequence->rows);
    if (!sequence->wants_logits()) continue;
    const std::span<const float> last = hidden.subspan((row - 1) * width, width);
    hidden_.insert(hidden_.end(), last.begin(), last.end());
    sampling.push_back(sequence.get());
  }
  ++counts_.passes;
  if (sampling.empty()) return;
  logits_.resize(std::max(logits_.size(), sampling.size() * vocab));
  decoder_.logits(hidden_, static_cast<int64_t>(sampling.size()), logits_.data());
  threads_.parallel_for(static_cast<int64_t>(sampling.size()), [&](int64_t i) {
    sample(std::span(logits_).subspan(static_cast<size_t>(i) * vocab, vocab), *sampling[static_cast<size_t>(i)]);
  });
}

void Batcher::sample(std::span<float> logits, Sequence& sequence) const {
  try {
    std::vector<float> own;
    if (sequence.request.top_logprobs >= 0) own.assign(logits.begin(), logits.end());
    sequence.next = {sequence.sampler.sample(logits, sequence.ids), 0, {}};
    if (!own.empty()) sequence.next = logprob_of(own, sequence.next.id, sequence.request.top_logprobs);
  } catch (const Error& error) {
    sequence.failure = error.what();
  }
}

/// What the pass gave.
void Batcher::accept(Sequence& sequence) {
  const bool sampled = sequence.wants_logits();
  const int64_t prompt = static_cast<int64_t>(sequence.request.prompt.size());
  counts_.prompt_tokens += std::clamp<int64_t>(prompt - sequence.done, 0, sequence.rows);
  sequence.done += sequence.rows;
  pool_.publish(sequence.lease, std::span(sequence.ids).first(static_cast<size_t>(sequence.done)));
  if (!sampled) return;
  if (!sequence.failure.empty()) return end(sequence, EndReason::kFailed, sequence.failure);
  if (sequence.request.max_tokens == 0) return end(sequence, EndReason::kLength);
  const int32_t id = sequence.next.id;
  if (std::find(end_ids_.begin(), end_ids_.end(), id) != end_ids_.end()) return end(sequence, EndReason::kEnd);
  sequence.ids.push_back(id);
  ++counts_.tokens;
  if (sequence.request.top_logprobs >= 0) sequence.unsent.emplace_back(sequence.pushed, std::move(sequence.next));
  const std::string text = sequence.stream.push(id);
  sequence.pushed += text.size();
  give(sequence, sequence.filter.push(text), false);
  if (sequence.filter.found()) return end(sequence, EndReason::kEnd);
  const int64_t context = decoder_.graph().max_positions;
  const bool full = context > 0 && static_cast<int64_t>(sequence.ids.size()) > context;
  if (full || sequence.answered() == sequence.request.max_tokens) end(sequence, EndReason::kLength);
}

/// Hands out text, and the tokens that begin in it; the last time also those that no text came from.
void Batcher::give(Sequence& sequence, const std::string& text, bool last) {
  sequence.given += text.size();
  TextPiece piece{text, {}};
  while (!sequence.unsent.empty() && (sequence.unsent.front().first < sequence.given || last)) {
    piece.tokens.push_back(std::move(sequence.unsent.front().second));
    sequence.unsent.pop_front();
  }
  if ((!text.empty() || !piece.tokens.empty()) && sequence.sink.on_piece) sequence.sink.on_piece(std::move(piece));
}

void Batcher::end(Sequence& sequence, EndReason reason, const std::string& message) {
  if (sequence.ended) return;
  sequence.ended = true;
  if (!sequence.filter.found()) {
    const std::string rest = sequence.filter.push(sequence.stream.finish());
    const bool cut = sequence.filter.found();
    give(sequence, rest + (cut ? "" : sequence.filter.finish()), !cut);
  }
  TextEnd end{reason, message, static_cast<int64_t>(sequence.request.prompt.size()), 0, sequence.answered()};
  end.shared_tokens = sequence.lease.shared_rows;
  pool_.release(sequence.lease);
  if (sequence.sink.on_end) sequence.sink.on_end(end);
}

}  // namespace bitloom
