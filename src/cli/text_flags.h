#pragma once
// Flags that turn a file into the windows that an evaluation scores, and what must be said with every figure.

#include <optional>
#include <string>
#include <vector>

#include "cli/flags.h"
#include "cli/session.h"
#include "eval/windows.h"
#include "model/checkpoint.h"

namespace bitloom {

struct TextFlags {
  std::string file, format = "plain", protocol = "gptq", bos = "auto";
  int64_t context = 0;  // 0: the verb's usual one, or the model's when that is shorter
  int64_t windows = 0;  // 0: all
};

/// --text, --text-format, --protocol, -c, --windows, --bos. `usual_context` is for the help text.
void add_text_flags(FlagSet& app, TextFlags& flags, int64_t usual_context);

struct EvaluationText {
  std::string file, format, sha256, text;
  WindowOptions options;
  TextWindows windows;
  std::optional<double> calibrated_on;  // share of it that the model was calibrated on, where that is known
};

/// Reads, tokenizes and cuts. Warns when the context is longer than the model was made for.
EvaluationText cut_evaluation_text(const TextFlags& flags, const Checkpoint& model, int64_t usual_context,
                                   Session& session);

/// protocol, context, bos, windows, tokens, text and its hash, tokenizer and its hash: without these a figure is none.
Json provenance(const EvaluationText& text, const Checkpoint& model);

/// The same as lines for people.
std::vector<std::pair<std::string, std::string>> provenance_facts(const EvaluationText& text, const Checkpoint& model);

}  // namespace bitloom
