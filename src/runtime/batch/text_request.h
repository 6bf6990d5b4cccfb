#pragma once
// What is asked of a batch of texts, and what it gives: values, and functions that are called as an answer grows.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/sampler.h"

namespace bitloom {

struct TextRequest {
  std::vector<int32_t> prompt;  // at least one token
  SamplerOptions sampler;
  int64_t max_tokens = 128;
  std::vector<std::string> stop;  // texts that end the answer and are no part of it
  int top_logprobs = -1;          // likeliest tokens to tell beside each one; -1: no probabilities at all
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  std::shared_ptr<const std::atomic<bool>> cancelled = nullptr;  // looked at before every pass; may be null
};

/// A token of an answer, by the model's own distribution: before penalties, filters and temperature.
struct TokenLogprob {
  int32_t id = 0;
  double logprob = 0;
  std::vector<std::pair<int32_t, double>> top;  // the likeliest first
};

struct TextPiece {
  std::string text;                  // whole characters, never empty but for an answer's last piece
  std::vector<TokenLogprob> tokens;  // those that begin in it; with probabilities alone
};

enum class EndReason { kEnd, kLength, kTimeLimit, kCancelled, kClosed, kFailed };

struct TextEnd {
  EndReason reason = EndReason::kEnd;
  std::string message;                           // of kFailed
  int64_t prompt_tokens = 0, shared_tokens = 0;  // of the prompt; of these, found in shared pages
  int64_t tokens = 0;                            // generated, the one that ended the text left out
};

/// Called on the thread that runs the batch: must not wait. on_end is called exactly once, last.
struct TextSink {
  std::function<void(TextPiece piece)> on_piece;
  std::function<void(const TextEnd& end)> on_end;
};

}  // namespace bitloom
