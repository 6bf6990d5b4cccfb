// The spellings of sampling rules and calibration formats.

#include <vector>

#include "base/error.h"
#include "base/text/text.h"
#include "calibration/samples.h"

namespace bitloom {

SamplingRule parse_sampling_rule(const std::string& text) {
  std::vector<std::string> names;
  for (const SamplingRule rule : {SamplingRule::kGptq, SamplingRule::kPacked, SamplingRule::kRows}) {
    names.push_back(to_string(rule));
    if (text == names.back()) return rule;
  }
  misuse("unknown sampling rule '{}'{}, allowed: {}", text, did_you_mean(text, names), fmt::join(names, ", "));
}

std::string to_string(SamplingRule rule) {
  switch (rule) {
    case SamplingRule::kGptq:
      return "gptq";
    case SamplingRule::kPacked:
      return "packed";
    case SamplingRule::kRows:
      break;
  }
  return "rows";
}

CalibrationFormat parse_calibration_format(const std::string& text) {
  if (text == "tokens") return {.tokens = true, .text = {}};
  try {
    return {.tokens = false, .text = parse_text_format(text)};
  } catch (const Error&) {
    const std::vector<std::string> names = {"plain", "hf-rows", "jsonl:text", "tokens"};
    misuse("unknown calibration format '{}'{}, allowed: plain, hf-rows, jsonl:FIELD, tokens", text,
           did_you_mean(text, names));
  }
}

std::string to_string(const CalibrationFormat& format) { return format.tokens ? "tokens" : to_string(format.text); }

}  // namespace bitloom
