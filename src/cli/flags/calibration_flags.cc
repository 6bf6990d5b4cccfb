#include "cli/flags/calibration_flags.h"

#include <algorithm>

#include "base/error.h"
#include "base/text/text.h"
#include "calibration/coverage.h"
#include "calibration/overlap.h"
#include "cli/flags/common_flags.h"

namespace bitloom {
namespace {

ActivationPrecision parse_precision(const std::string& text) {
  const std::vector<std::string> allowed = {"fp32", "bf16"};
  if (text == allowed[0]) return ActivationPrecision::kF32;
  if (text == allowed[1]) return ActivationPrecision::kBF16;
  misuse("--activations '{}'{}; allowed: fp32, bf16", text, did_you_mean(text, allowed));
}

}  // namespace

void add_calibration_flags(FlagSet& app, CalibrationFlags& flags) {
  app.add_option("--calib", flags.file, "text to calibrate on (default: a built-in mixed text)")->type_name("FILE");
  app.add_option("--calib-format", flags.format, "plain, hf-rows, jsonl:FIELD or tokens")
      ->type_name("FORMAT")
      ->capture_default_str();
  app.add_option("--calib-rule", flags.rule, "how sequences are chosen: gptq, packed, rows")
      ->type_name("RULE")
      ->capture_default_str();
  app.add_option("--samples", flags.samples, "sequences to calibrate on")
      ->type_name("N")
      ->check(integer_from(1))
      ->capture_default_str();
  app.add_option("--seq", flags.length, "tokens of a sequence (default: the model's context, 2048 at most)")
      ->type_name("N")
      ->check(integer_from(2))
      ->each([&flags](const std::string&) { flags.length_given = true; });
  app.add_option("--seed", flags.seed, "of every random choice")->type_name("N")->capture_default_str();
  app.add_option("--order", flags.order, "quantized beforehand: sequential, block, none")
      ->type_name("ORDER")
      ->capture_default_str();
  app.add_option("--activations", flags.activations, "kept as fp32 or bf16")->type_name("DTYPE")->capture_default_str();
  app.add_option("--mem", flags.memory, "memory to stay within, as 16G; activations go to a file when they must")
      ->type_name("SIZE");
  app.add_option("--save-stats", flags.statistics_out, "keep the layers' statistics in DIR")->type_name("DIR");
  app.add_option("--stats", flags.statistics_in, "use kept statistics instead of a text")->type_name("DIR");
}

CalibrationData read_calibration(const CalibrationFlags& flags, const Checkpoint& model, Session& session) {
  CalibrationOptions options;
  options.file = flags.file;
  options.format = parse_calibration_format(flags.format);
  options.rule = parse_sampling_rule(flags.rule);
  options.samples = flags.samples;
  options.length = flags.length;
  options.seed = flags.seed;
  const int64_t positions = model.graph().max_positions;
  if (!flags.length_given && positions > 0) options.length = std::min(options.length, positions);
  if (positions > 0 && options.length > positions) {
    session.warner()(
        fmt::format("sequences of {} tokens (--seq) are longer than the context of {} that {} was made for",
                    options.length, positions, model.path()));
  }
  const Tokenizer* tokenizer = options.format.tokens && !model.has_tokenizer() ? nullptr : &model.tokenizer();
  const CalibrationSet set = sample_calibration(tokenizer, model.graph().vocab_size, options);
  session.progress().log(fmt::format("calibration: {}", set.description));
  CalibrationData data;
  data.sequences = set.sequences;
  data.record = to_json(set);
  data.record["vocabulary_share"] = vocabulary_share(set.sequences, model.graph().vocab_size);
  data.record["fingerprint"] = to_json(fingerprint(set.sequences));
  return data;
}

QuantizeOptions options_of(const CalibrationFlags& flags) {
  QuantizeOptions options;
  options.order = parse_walk_order(flags.order);
  options.precision = parse_precision(flags.activations);
  if (!flags.memory.empty()) options.memory = parse_bytes(flags.memory, "--mem");
  options.seed = flags.seed;
  options.statistics_in = flags.statistics_in;
  options.statistics_out = flags.statistics_out;
  return options;
}

}  // namespace bitloom
