#pragma once
// Many texts at once through one decoder: continuous batching over keys and values in pages.
//
// Every pass takes one token of each sequence that is being answered and parts of prompts, so that a long prompt does
// not stop the others' tokens; a sequence enters and leaves between passes. Requests enter in the order in which they
// came; a sequence holds the pages for all its tokens from the start, so that none is put back. One whose prompt
// another is just computing waits for that, to share its pages.
//
// The tokens of a greedy request are those that it gets alone, as far as fp32 sums decide: a pass of many rows adds in
// another order than one of few (Decoder::steps).

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/threads.h"
#include "forward/attention/kv_pages.h"
#include "forward/decoder.h"
#include "runtime/batch/page_pool.h"
#include "runtime/batch/text_request.h"
#include "tokenize/tokenizer.h"

namespace bitloom {

struct BatchLimits {
  int64_t sequences = 64;    // answered at once
  int64_t pages = 512;       // of keys and values
  int64_t prompt_rows = 64;  // tokens of prompts in a pass that also answers
  KvFormat kv = KvFormat::kFp32;
};

/// What has happened so far, and how things stand.
struct BatchCounts {
  int64_t requests = 0, passes = 0;
  int64_t prompt_tokens = 0, shared_tokens = 0, tokens = 0;
  int64_t running = 0, waiting = 0, pages_held = 0, pages = 0;
};

class Batcher {
 public:
  /// The decoder, threads and tokenizer must outlive it.
  Batcher(Decoder& decoder, const Tokenizer& tokenizer, ThreadPool& threads, const BatchLimits& limits);
  ~Batcher();

  /// Error(kUsage) or Error(kRefused) for what can never be answered: a bad option, a token outside the vocabulary, a
  /// prompt longer than the context or than all pages. May be called by any thread.
  void check(const TextRequest& request) const;

  /// A request that check() accepts.
  void add(TextRequest request, TextSink sink);
  bool idle() const { return running_.empty() && waiting_.empty(); }
  /// One pass. Returns whether anything was computed.
  bool step();
  /// Ends everything.
  void end_all(EndReason reason, const std::string& message = "");

  BatchCounts counts() const;
  /// Tokens whose keys and values there is room for.
  int64_t cache_tokens() const { return pool_.rows(); }

 private:
  struct Sequence;
  using SequencePtr = std::unique_ptr<Sequence>;
  int64_t rows_of(const TextRequest& request) const;
  void drop_ended();
  void admit();
  bool computes_prefix_of(const TextRequest& request) const;
  void plan();
  void run();
  void sample(std::span<float> logits, Sequence& sequence) const;
  void accept(Sequence& sequence);
  void give(Sequence& sequence, const std::string& text, bool last);
  void end(Sequence& sequence, EndReason reason, const std::string& message = "");

  Decoder& decoder_;
  const Tokenizer& tokenizer_;
  ThreadPool& threads_;
  BatchLimits limits_;
  std::vector<int32_t> end_ids_;
  KvPages memory_;
  PagePool pool_;
  std::vector<SequencePtr> running_;  // in the order in which they began
  std::deque<SequencePtr> waiting_;
  std::vector<float> hidden_, logits_;
  BatchCounts counts_;
};

}  // namespace bitloom
