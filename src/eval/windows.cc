#include "eval/windows.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace bitloom {
namespace {

void check(const WindowOptions& options) {
  // llamacpp scores context - context/2 - 1 tokens of a window, which is none below 3.
  const int64_t least = options.protocol == Protocol::kRolling ? 1 : options.protocol == Protocol::kGptq ? 2 : 3;
  if (options.context < least)
    misuse("context {}: protocol {} needs at least {}", options.context, to_string(options.protocol), least);
  if (options.max_windows < 0) misuse("{} windows: must be 0 (all) or more", options.max_windows);
}

int32_t require_bos(const TokenizedText& text) {
  if (!text.bos) misuse("bos always: the tokenizer has no BOS token (allowed here: auto, none)");
  return *text.bos;
}

/// Disjoint windows of `context` tokens, the tail dropped.
void cut_disjoint(const TokenizedText& text, const WindowOptions& options, std::optional<int32_t> window_bos,
                  TextWindows& out) {
  const int64_t context = options.context;
  const int64_t first_scored = options.protocol == Protocol::kGptq ? 1 : context / 2 + 1;
  const int64_t count = static_cast<int64_t>(text.ids.size()) / context;
  if (count == 0)
    refuse("the text has {} tokens, fewer than one window of {}: give a longer text or a smaller context",
           text.ids.size(), context);
  const int64_t taken = options.max_windows > 0 ? std::min(count, options.max_windows) : count;
  for (int64_t w = 0; w < taken; ++w) {
    TextWindows::Window window;
    window.tokens.assign(text.ids.begin() + w * context, text.ids.begin() + (w + 1) * context);
    if (window_bos) window.tokens[0] = *window_bos;
    window.first_scored = first_scored;
    out.windows.push_back(std::move(window));
  }
}

/// `stream` is the prefix token and then the tokens to score. A window holds at most `context` inputs and the target of
/// the last one: inputs end-context .. end-1 for targets done+1 .. end (indices into stream).
void cut_rolling(const std::vector<int32_t>& stream, const WindowOptions& options, TextWindows& out) {
  const int64_t targets = static_cast<int64_t>(stream.size()) - 1;
  for (int64_t done = 0; done < targets;) {
    if (options.max_windows > 0 && static_cast<int64_t>(out.windows.size()) == options.max_windows) return;
    const int64_t count = std::min(options.context, targets - done);
    const int64_t end = done + count;
    const int64_t begin = std::max<int64_t>(0, end - options.context);
    TextWindows::Window window;
    window.tokens.assign(stream.begin() + begin, stream.begin() + end + 1);
    window.first_scored = done + 1 - begin;
    out.windows.push_back(std::move(window));
    done = end;
  }
}

/// The token that predicts the first one; nothing when there is none (bos none) and the first token is itself the
/// prefix.
std::optional<int32_t> rolling_prefix(const TokenizedText& text, BosPolicy policy) {
  if (policy == BosPolicy::kNone) return std::nullopt;
  if (policy == BosPolicy::kAlways) return require_bos(text);
  if (text.bos) return text.bos;
  if (text.eos) return text.eos;
  misuse("protocol rolling: the tokenizer has neither BOS nor EOS to predict the first token from (use bos none)");
}

std::string bos_note(const TokenizedText& text, const WindowOptions& options) {
  const bool first = !text.ids.empty() && text.bos && text.ids[0] == *text.bos;
  const std::string policy = to_string(options.bos);
  if (options.bos == BosPolicy::kNone) return "bos none";
  switch (options.protocol) {
    case Protocol::kGptq:
      return fmt::format("bos {} ({})", policy, first ? "first" : "absent");
    case Protocol::kLlamaCpp:
      return fmt::format("bos {} ({})", policy,
                         options.bos == BosPolicy::kAlways || text.adds_bos ? "first in every window" : "absent");
    case Protocol::kRolling:
      break;
  }
  return fmt::format("bos {} (predicts the first token{})", policy, text.bos ? "" : ", EOS in its place");
}

void cut_rolling_text(const TokenizedText& text, const WindowOptions& options, TextWindows& out) {
  const std::optional<int32_t> prefix = rolling_prefix(text, options.bos);
  std::vector<int32_t> stream;
  if (prefix) stream.push_back(*prefix);
  stream.insert(stream.end(), text.ids.begin(), text.ids.end());
  if (stream.size() < 2) refuse("the text has {} tokens: nothing to score", text.ids.size());
  cut_rolling(stream, options, out);
}

}  // namespace

Protocol parse_protocol(const std::string& text) {
  for (const Protocol protocol : {Protocol::kGptq, Protocol::kLlamaCpp, Protocol::kRolling})
    if (text == to_string(protocol)) return protocol;
  misuse("unknown protocol '{}' (allowed: gptq, llamacpp, rolling)", text);
}

BosPolicy parse_bos_policy(const std::string& text) {
  for (const BosPolicy policy : {BosPolicy::kAuto, BosPolicy::kNone, BosPolicy::kAlways})
    if (text == to_string(policy)) return policy;
  misuse("unknown bos policy '{}' (allowed: auto, none, always)", text);
}

std::string to_string(Protocol protocol) {
  switch (protocol) {
    case Protocol::kGptq:
      return "gptq";
    case Protocol::kLlamaCpp:
      return "llamacpp";
    case Protocol::kRolling:
      break;
  }
  return "rolling";
}

std::string to_string(BosPolicy bos) {
  switch (bos) {
    case BosPolicy::kAuto:
      return "auto";
    case BosPolicy::kNone:
      return "none";
    case BosPolicy::kAlways:
      break;
  }
  return "always";
}

bool with_special(const WindowOptions& options) {
  return options.protocol != Protocol::kRolling && options.bos != BosPolicy::kNone;
}

TextWindows cut_windows(TokenizedText text, const WindowOptions& options) {
  check(options);
  TextWindows out;
  if (options.protocol == Protocol::kRolling) {
    cut_rolling_text(text, options, out);
    out.text_tokens = static_cast<int64_t>(text.ids.size()) + (options.bos == BosPolicy::kNone ? 0 : 1);
  } else {
    if (options.bos == BosPolicy::kAlways) {
      const int32_t bos = require_bos(text);
      if (text.ids.empty() || text.ids[0] != bos) text.ids.insert(text.ids.begin(), bos);
    }
    const bool every = options.protocol == Protocol::kLlamaCpp &&
                       (options.bos == BosPolicy::kAlways || (options.bos == BosPolicy::kAuto && text.adds_bos));
    cut_disjoint(text, options, every ? text.bos : std::nullopt, out);
    out.text_tokens = static_cast<int64_t>(text.ids.size());
  }
  for (const TextWindows::Window& window : out.windows) out.scored_tokens += window.scored();
  if (options.protocol == Protocol::kRolling && out.scored_tokens == static_cast<int64_t>(text.ids.size()))
    out.scored_bytes = text.bytes;
  out.description = fmt::format("{}, context {}, {}, {} window{}", to_string(options.protocol), options.context,
                                bos_note(text, options), out.windows.size(), out.windows.size() == 1 ? "" : "s");
  return out;
}

}  // namespace bitloom
