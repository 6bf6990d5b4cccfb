#pragma once
// A file as the windows that an evaluation scores, and what must be said with every figure.

#include <functional>
#include <optional>
#include <string>

#include "eval/windows.h"
#include "io/json.h"
#include "model/checkpoint/checkpoint.h"
#include "report/table.h"

namespace bitloom {

struct TextOptions {
  std::string file, format = "plain", protocol = "gptq", bos = "auto";  // spelled as io/text_data.h and windows.h parse
  int64_t context = 0;                                                  // 0: the usual, or the model's when shorter
  int64_t windows = 0;                                                  // 0: all
};

struct EvaluationText {
  std::string file, format, sha256, text;
  WindowOptions options;
  TextWindows windows;
  std::optional<double> calibrated_on;  // share of it that the model was calibrated on, where that is known
};

/// Takes one sentence that the user should read before the work begins.
using Warn = std::function<void(const std::string&)>;

/// Reads, tokenizes and cuts. Warns when the context is longer than the model was made for, and when the model was
/// calibrated on part of the text.
EvaluationText cut_evaluation_text(const TextOptions& options, const Checkpoint& model, int64_t usual_context,
                                   const Warn& warn);

/// protocol, context, bos, windows, tokens, text and its hash, tokenizer and its hash: without these a figure is none.
Json provenance(const EvaluationText& text, const Checkpoint& model);

/// The same as lines for people.
Facts provenance_facts(const EvaluationText& text, const Checkpoint& model);

/// Why KL of `model` from `reference` on this text would be between different texts, naming both; "" when token ids
/// mean the same to both. `text` is cut by `model`'s tokenizer.
std::string token_mismatch(const Checkpoint& model, const Checkpoint& reference, const EvaluationText& text);

}  // namespace bitloom
