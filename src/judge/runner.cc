#include "judge/runner.h"

namespace bitloom {

Runner make_runner(std::shared_ptr<const Checkpoint> checkpoint, ThreadPool& threads, Activations activations,
                   KvFormat kv) {
  Runner runner;
  runner.checkpoint = std::move(checkpoint);
  runner.decoder = std::make_unique<Decoder>(runner.checkpoint, threads, activations);
  const bool exact = activations == Activations::kExact && kv == KvFormat::kFp32;
  runner.logits =
      exact ? logits_of(*runner.decoder) : logits_of_steps(*runner.decoder, runner.decoder->rounding_rows(), kv);
  return runner;
}

}  // namespace bitloom
