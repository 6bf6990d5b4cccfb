#include "calibration/sampling_rules.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "base/error.h"
#include "calibration/python_random.h"

namespace bitloom {
namespace {

int64_t size_of(const std::vector<int32_t>& ids) { return static_cast<int64_t>(ids.size()); }

std::vector<int32_t> window(const std::vector<int32_t>& ids, int64_t start, int64_t length) {
  return {ids.begin() + start, ids.begin() + start + length};
}

/// Indices 0 .. count-1 in the order of random.shuffle(list(range(count))).
std::vector<int64_t> shuffled(int64_t count, PythonRandom& random) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  random.shuffle(order);
  return order;
}

void require_tokens(int64_t tokens, int64_t needed, const std::string& origin, const CalibrationOptions& options) {
  if (tokens >= needed) return;
  if (options.samples == kAllWindows) {
    refuse("{}: too little text: it has {} tokens, a window takes {} (give a longer text or a smaller length)", origin,
           tokens, options.length);
  }
  refuse(
      "{}: too little text: it has {} tokens, {} samples of {} by rule {} need {}: {} tokens are missing (give a "
      "longer text, fewer samples or a smaller length)",
      origin, tokens, options.samples, options.length, to_string(options.rule), needed, needed - tokens);
}

/// Counts documents' tokens in order, until they are enough.
void require_tokens(Documents& documents, const CalibrationOptions& options) {
  const int64_t needed = options.samples * options.length;
  int64_t tokens = 0;
  for (int64_t i = 0; i < documents.count() && tokens < needed; ++i) tokens += size_of(documents.tokens(i));
  require_tokens(tokens, needed, documents.origin(), options);
}

bool any_longer(Documents& documents, int64_t length) {
  for (int64_t i = 0; i < documents.count(); ++i) {
    if (size_of(documents.tokens(i)) > length) return true;
  }
  return false;
}

std::vector<std::vector<int32_t>> random_windows(const std::vector<int32_t>& stream, const std::string& origin,
                                                 const CalibrationOptions& options) {
  // T - L - 1 >= 0, or there is nothing to draw from.
  const int64_t needed = std::max(options.samples * options.length, options.length + 1);
  require_tokens(size_of(stream), needed, origin, options);
  PythonRandom random(options.seed);
  std::vector<std::vector<int32_t>> windows;
  for (int64_t sample = 0; sample < options.samples; ++sample) {
    windows.push_back(window(stream, random.randint(0, size_of(stream) - options.length - 1), options.length));
  }
  return windows;
}

std::string joined_note(const Documents& documents, int64_t count, const std::string& which) {
  return fmt::format("{} of {} documents joined by {}", which, count, documents.joint_name());
}

Selection packed_windows(const std::vector<int32_t>& stream, const std::vector<int64_t>& order,
                         const CalibrationOptions& options) {
  Selection selection;
  const int64_t samples = options.samples == kAllWindows ? static_cast<int64_t>(order.size()) : options.samples;
  for (int64_t sample = 0; sample < samples; ++sample) {
    const int64_t start = order[static_cast<size_t>(sample)] * options.length;
    selection.sequences.push_back(window(stream, start, options.length));
  }
  return selection;
}

}  // namespace

Selection sample_gptq(Documents& documents, const CalibrationOptions& options) {
  if (documents.count() == 1)
    return {random_windows(documents.tokens(0), documents.origin(), options), "random windows of one document"};
  require_tokens(documents, options);
  if (!any_longer(documents, options.length)) {
    const std::string note = joined_note(documents, documents.count(), "none longer than a window: random windows");
    return {random_windows(documents.joined(), documents.origin(), options), note};
  }
  PythonRandom random(options.seed);
  Selection selection;
  std::set<int64_t> used;
  while (static_cast<int64_t>(selection.sequences.size()) < options.samples) {
    const int64_t document = random.randint(0, documents.count() - 1);
    const std::vector<int32_t>& ids = documents.tokens(document);
    if (size_of(ids) <= options.length) continue;
    const int64_t start = random.randint(0, size_of(ids) - options.length - 1);
    selection.sequences.push_back(window(ids, start, options.length));
    used.insert(document);
  }
  selection.note = fmt::format("random windows of {} of {} documents", used.size(), documents.count());
  return selection;
}

Selection sample_packed(Documents& documents, const CalibrationOptions& options) {
  const bool all = options.samples == kAllWindows;
  const int64_t needed = (all ? 1 : options.samples) * options.length;
  PythonRandom random(options.seed);
  if (documents.count() == 1) {
    const std::vector<int32_t>& stream = documents.tokens(0);
    require_tokens(size_of(stream), needed, documents.origin(), options);
    Selection selection = packed_windows(stream, shuffled(size_of(stream) / options.length, random), options);
    selection.note = "shuffled windows of one document";
    return selection;
  }
  std::vector<int32_t> stream;
  int64_t taken = 0;
  for (const int64_t document : shuffled(documents.count(), random)) {
    if (!all && size_of(stream) >= needed) break;
    documents.append_to(stream, document);
    ++taken;
  }
  require_tokens(size_of(stream), needed, documents.origin(), options);
  std::vector<int64_t> in_order(static_cast<size_t>(all ? size_of(stream) / options.length : options.samples));
  std::iota(in_order.begin(), in_order.end(), 0);
  Selection selection = packed_windows(stream, in_order, options);
  selection.note = joined_note(documents, taken, "consecutive windows") +
                   fmt::format(", in shuffled order, of {} in all", documents.count());
  return selection;
}

Selection sample_rows(Documents& documents, const CalibrationOptions& options) {
  PythonRandom random(options.seed);
  Selection selection;
  int64_t tokens = 0;
  for (const int64_t document : shuffled(documents.count(), random)) {
    if (static_cast<int64_t>(selection.sequences.size()) == options.samples) break;
    const std::vector<int32_t>& ids = documents.tokens(document);
    if (ids.size() < 2) continue;
    selection.sequences.push_back(window(ids, 0, std::min(size_of(ids), options.length)));
    tokens += size_of(selection.sequences.back());
  }
  const auto found = static_cast<int64_t>(selection.sequences.size());
  if (found < options.samples) {
    refuse(
        "{}: too little text: it has {} documents of at least 2 tokens ({} tokens in all, at most {} of each), {} "
        "samples by rule rows need one each: {} documents are missing (give more documents, fewer samples, or rule "
        "gptq or packed, which cut documents into windows)",
        documents.origin(), found, tokens, options.length, options.samples, options.samples - found);
  }
  selection.note = fmt::format("whole documents in shuffled order, of {} in all", documents.count());
  return selection;
}

}  // namespace bitloom
