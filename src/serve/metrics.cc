#include "serve/metrics.h"

#include <fmt/format.h>

namespace bitloom {

void Metrics::count(int status) {
  const std::lock_guard guard(lock_);
  ++responses_[status];
}

std::string Metrics::text(const BatchCounts& counts) const {
  std::string out;
  const auto add = [&](const char* name, const char* kind, const char* help, int64_t value) {
    out +=
        fmt::format("# HELP bitloom_{} {}\n# TYPE bitloom_{} {}\nbitloom_{} {}\n", name, help, name, kind, name, value);
  };
  add("answers_total", "counter", "Answers asked of the model.", counts.requests);
  add("prompt_tokens_total", "counter", "Tokens of prompts that were computed.", counts.prompt_tokens);
  add("shared_tokens_total", "counter", "Tokens of prompts that were found in the cache.", counts.shared_tokens);
  add("generated_tokens_total", "counter", "Tokens of answers.", counts.tokens);
  add("passes_total", "counter", "Passes through the model.", counts.passes);
  add("answers_running", "gauge", "Answers that are being computed.", counts.running);
  add("answers_waiting", "gauge", "Answers in the queue.", counts.waiting);
  add("cache_pages_held", "gauge", "Pages of keys and values that answers hold.", counts.pages_held);
  add("cache_pages", "gauge", "Pages of keys and values.", counts.pages);
  out += "# HELP bitloom_http_responses_total Responses by status.\n# TYPE bitloom_http_responses_total counter\n";
  const std::lock_guard guard(lock_);
  for (const auto& [status, count] : responses_)
    out += fmt::format("bitloom_http_responses_total{{status=\"{}\"}} {}\n", status, count);
  return out;
}

}  // namespace bitloom
