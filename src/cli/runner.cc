#include "cli/runner.h"

#include <fmt/format.h>

namespace bitloom {

Runner make_runner(std::shared_ptr<const Checkpoint> checkpoint, Session& session) {
  Runner runner;
  runner.checkpoint = std::move(checkpoint);
  runner.decoder = std::make_unique<Decoder>(runner.checkpoint, session.context().threads);
  runner.logits = logits_of(*runner.decoder);
  return runner;
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
