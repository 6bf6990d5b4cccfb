#include "cli/text_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "calibration/overlap.h"
#include "cli/common_flags.h"
#include "cli/version.h"
#include "io/hash.h"
#include "io/text_data.h"
#include "pipeline/manifest.h"
#include "report/numbers.h"

namespace bitloom {
namespace {

constexpr int64_t kMaxContext = int64_t{1} << 24;

}  // namespace

void add_text_flags(FlagSet& app, TextFlags& flags, int64_t usual_context) {
  app.add_option("-f,--text", flags.file, "text to score")->type_name("FILE")->required();
  app.add_option("--text-format", flags.format, "plain, hf-rows or jsonl:FIELD")
      ->type_name("FORMAT")
      ->capture_default_str();
  app.add_option("--protocol", flags.protocol, "gptq, llamacpp or rolling")->type_name("NAME")->capture_default_str();
  app.add_option("-c,--context", flags.context,
                 fmt::format("tokens in a window (default {}, or the model's own if less)", usual_context))
      ->type_name("N")
      ->check(integer_in(2, kMaxContext));
  app.add_option("--windows", flags.windows, "score only the first N windows (default: all)")
      ->type_name("N")
      ->check(integer_from(1));
  app.add_option("--bos", flags.bos, "BOS first: auto (as the tokenizer does), none or always")
      ->type_name("POLICY")
      ->capture_default_str();
}

namespace {

/// Of the text that is scored, how much the model was calibrated on; nothing when the model's manifest does not say
/// what it was calibrated on.
std::optional<ContainedShare> share_calibrated_on(const Checkpoint& model, const TextWindows& windows) {
  const std::string manifest = (std::filesystem::path(model.path()) / kManifestFile).string();
  if (model.kind() != CheckpointKind::kBitloom || !std::filesystem::exists(manifest)) return std::nullopt;
  const Json json = read_json(manifest);
  const Json calibration = json.value("calibration", Json::object());
  if (!calibration.contains("fingerprint")) return std::nullopt;
  std::vector<int32_t> tokens;
  for (const TextWindows::Window& window : windows.windows) {
    tokens.insert(tokens.end(), window.tokens.begin(), window.tokens.end());
  }
  return contained_share(fingerprint_from_json(calibration["fingerprint"], manifest), tokens);
}

void warn_of_overlap(const Checkpoint& model, EvaluationText& text, Session& session) {
  const std::optional<ContainedShare> share = share_calibrated_on(model, text.windows);
  if (!share || share->compared == 0) return;
  text.calibrated_on = share->share;
  // Some overlap is certain, not only a likely error of the estimate.
  if (share->share <= 2 * share->standard_error) return;
  session.warn(fmt::format("{} was calibrated on about {} of this text: its figures flatter it", model.path(),
                           format_percent(share->share)));
}

}  // namespace

EvaluationText cut_evaluation_text(const TextFlags& flags, const Checkpoint& model, int64_t usual_context,
                                   Session& session) {
  const int64_t longest = model.graph().max_positions;
  EvaluationText result;
  const TextFormat format = parse_text_format(flags.format);
  result.options.protocol = parse_protocol(flags.protocol);
  result.options.bos = parse_bos_policy(flags.bos);
  result.options.max_windows = flags.windows;
  result.options.context = flags.context > 0 ? flags.context
                           : longest > 0     ? std::min(usual_context, longest)
                                             : usual_context;
  if (longest > 0 && result.options.context > longest)
    session.warn(fmt::format("a context of {} is longer than the {} that {} was made for", result.options.context,
                             longest, model.path()));
  result.file = flags.file;
  result.format = to_string(format);
  result.text = read_text_data(flags.file, format);
  result.sha256 = sha256_hex(result.text);
  result.windows = cut_windows(result.text, model.tokenizer(), result.options);
  warn_of_overlap(model, result, session);
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

std::vector<std::pair<std::string, std::string>> provenance_facts(const EvaluationText& text, const Checkpoint& model) {
  return {{"model", model.path()},
          {"protocol", text.windows.description},
          {"tokens", fmt::format("{} scored of {}", text.windows.scored_tokens, text.windows.text_tokens)},
          {"text", fmt::format("{} ({}, sha256 {})", text.file, text.format, text.sha256.substr(0, 12))},
          {"tokenizer",
           fmt::format("{} (sha256 {})", model.tokenizer().describe(), model.tokenizer().hash().substr(0, 12))}};
}

}  // namespace bitloom
