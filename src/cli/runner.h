#pragma once
// Models that are judged: open, ready to run, and whether two of them can be compared token by token.

#include <memory>
#include <string>

#include "cli/session.h"
#include "cli/text_flags.h"
#include "eval/logits_source.h"
#include "model/checkpoint.h"

namespace bitloom {

/// What a model needs to run, in the order in which it must be destroyed.
struct Runner {
  std::shared_ptr<const Checkpoint> checkpoint;
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<LogitsSource> logits;
};

Runner make_runner(std::shared_ptr<const Checkpoint> checkpoint, Session& session);

/// Why KL of `model` from `reference` on this text would be between different texts, naming both; "" when token ids
/// mean the same to both. `text` is cut by `model`'s tokenizer.
std::string token_mismatch(const Checkpoint& model, const Checkpoint& reference, const EvaluationText& text);

}  // namespace bitloom
