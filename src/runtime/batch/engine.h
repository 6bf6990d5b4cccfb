#pragma once
// A batcher with a thread of its own: requests from any thread, a bounded queue, an orderly end.

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/batch/batcher.h"

namespace bitloom {

enum class Admission { kAccepted, kFull, kClosing };

class Engine {
 public:
  /// `queue`: requests that may wait. What is passed must outlive it; the decoder and threads are used by it alone.
  Engine(Decoder& decoder, const Tokenizer& tokenizer, ThreadPool& threads, const BatchLimits& limits, int64_t queue);
  /// Ends what runs.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Takes all requests, or none: then no sink is called. Errors as Batcher::check, and Error(kUsage) for more requests
  /// than ever run and wait at once.
  Admission submit(std::vector<std::pair<TextRequest, TextSink>> requests);

  /// From now on submit() refuses. Returns when all is answered; what is not after `seconds` is ended (kClosed).
  void close(double seconds);

  /// As of the last pass, or of the last answer that ended: who hears of an end finds it counted.
  BatchCounts counts() const;
  /// Of prompt and answer, the last token left out.
  int64_t cache_tokens() const { return batcher_.cache_tokens(); }

 private:
  void work();
  bool take_inbox();
  TextSink counted(TextSink sink);

  Batcher batcher_;
  int64_t sequences_, queue_;
  mutable std::mutex lock_;
  std::condition_variable changed_;
  std::vector<std::pair<TextRequest, TextSink>> inbox_;
  BatchCounts counts_;
  bool closing_ = false, cut_ = false, ended_ = false;
  std::thread thread_;
};

}  // namespace bitloom
