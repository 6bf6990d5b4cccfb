#include "judge/evaluation_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/version.h"
#include "calibration/overlap.h"
#include "io/hash.h"
#include "io/text_data.h"
#include "judge/model_figures.h"
#include "pipeline/output/manifest.h"
#include "report/numbers.h"

namespace bitloom {
namespace {

/// Of the text that is scored, how much the model was calibrated on; nothing when the model's manifest does not say
/// what it was calibrated on.
std::optional<ContainedShare> share_calibrated_on(const Checkpoint& model, const TextWindows& windows) {
  const Json manifest = manifest_of(model);
  if (!manifest.is_object()) return std::nullopt;
  const Json calibration = manifest.value("calibration", Json::object());
  if (!calibration.contains("fingerprint")) return std::nullopt;
  std::vector<int32_t> tokens;
  for (const TextWindows::Window& window : windows.windows) {
    tokens.insert(tokens.end(), window.tokens.begin(), window.tokens.end());
  }
  const std::string file = model.path() + "/" + kManifestFile;
  return contained_share(fingerprint_from_json(calibration["fingerprint"], file), tokens);
}

void note_overlap(const Checkpoint& model, EvaluationText& text, const Warn& warn) {
  const std::optional<ContainedShare> share = share_calibrated_on(model, text.windows);
  if (!share || share->compared == 0) return;
  text.calibrated_on = share->share;
  // Some overlap is certain, not only a likely error of the estimate.
  if (share->share <= 2 * share->standard_error) return;
  warn(fmt::format("{} was calibrated on about {} of this text: its figures flatter it", model.path(),
                   format_percent(share->share)));
}

}  // namespace

EvaluationText cut_evaluation_text(const TextOptions& options, const Checkpoint& model, int64_t usual_context,
                                   const Warn& warn) {
  const int64_t longest = model.graph().max_positions;
  EvaluationText result;
  const TextFormat format = parse_text_format(options.format);
  result.options.protocol = parse_protocol(options.protocol);
  result.options.bos = parse_bos_policy(options.bos);
  result.options.max_windows = options.windows;
  result.options.context = options.context > 0 ? options.context
                           : longest > 0       ? std::min(usual_context, longest)
                                               : usual_context;
  if (longest > 0 && result.options.context > longest)
    warn(fmt::format("a context of {} is longer than the {} that {} was made for", result.options.context, longest,
                     model.path()));
  result.file = options.file;
  result.format = to_string(format);
  result.text = read_text_data(options.file, format);
  result.sha256 = sha256_hex(result.text);
  result.windows = cut_windows(result.text, model.tokenizer(), result.options);
  note_overlap(model, result, warn);
  return result;
}

Json provenance(const EvaluationText& text, const Checkpoint& model) {
  Json facts = {{"bitloom", version()},
                {"model", model.path()},
                {"protocol", to_string(text.options.protocol)},
                {"protocol_description", text.windows.description},
                {"context", text.options.context},
                {"bos", to_string(text.options.bos)},
                {"windows", text.windows.windows.size()},
                {"tokens", text.windows.scored_tokens},
                {"text", text.file},
                {"text_format", text.format},
                {"text_sha256", text.sha256},
                {"text_tokens", text.windows.text_tokens},
                {"tokenizer", model.tokenizer().describe()},
                {"tokenizer_sha256", model.tokenizer().hash()}};
  if (text.calibrated_on) facts["calibrated_on_share"] = *text.calibrated_on;
  return facts;
}

Facts provenance_facts(const EvaluationText& text, const Checkpoint& model) {
  return {{"model", model.path()},
          {"protocol", text.windows.description},
          {"tokens", fmt::format("{} scored of {}", text.windows.scored_tokens, text.windows.text_tokens)},
          {"text", fmt::format("{} ({}, sha256 {})", text.file, text.format, text.sha256.substr(0, 12))},
          {"tokenizer",
           fmt::format("{} (sha256 {})", model.tokenizer().describe(), model.tokenizer().hash().substr(0, 12))}};
}

std::string token_mismatch(const Checkpoint& model, const Checkpoint& reference, const EvaluationText& text) {
  if (model.graph().vocab_size != reference.graph().vocab_size)
    return fmt::format("{}: vocabulary of {} tokens, but the reference {} has {}", model.path(),
                       model.graph().vocab_size, reference.path(), reference.graph().vocab_size);
  if (model.tokenizer().hash() == reference.tokenizer().hash()) return "";
  const TextWindows other = cut_windows(text.text, reference.tokenizer(), text.options);
  bool same = other.windows.size() == text.windows.windows.size();
  for (size_t i = 0; same && i < other.windows.size(); ++i)
    same = other.windows[i].tokens == text.windows.windows[i].tokens;
  if (same) return "";
  return fmt::format("{}: its tokenizer and that of the reference {} give different tokens for {}", model.path(),
                     reference.path(), text.file);
}

}  // namespace bitloom
