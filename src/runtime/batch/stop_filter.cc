#include "runtime/batch/stop_filter.h"

#include <algorithm>

namespace bitloom {
namespace {

/// Bytes at the end of `text` that `stop` begins with, fewer than all of it.
size_t overlap(std::string_view text, std::string_view stop) {
  for (size_t length = std::min(text.size(), stop.size() - 1); length > 0; --length)
    if (text.ends_with(stop.substr(0, length))) return length;
  return 0;
}

}  // namespace

std::string StopFilter::push(std::string_view text) {
  if (found_) return {};
  held_ += text;
  size_t end = std::string::npos, kept = 0;
  for (const std::string& stop : stops_) {
    end = std::min(end, held_.find(stop));
    kept = std::max(kept, overlap(held_, stop));
  }
  found_ = end != std::string::npos;
  const std::string out = held_.substr(0, found_ ? end : held_.size() - kept);
  held_.erase(0, found_ ? held_.size() : out.size());
  return out;
}

std::string StopFilter::finish() { return std::exchange(held_, {}); }

}  // namespace bitloom
