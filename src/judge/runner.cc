#include "judge/runner.h"

namespace bitloom {

Runner make_runner(std::shared_ptr<const Checkpoint> checkpoint, ThreadPool& threads, Activations activations) {
  Runner runner;
  runner.checkpoint = std::move(checkpoint);
  runner.decoder = std::make_unique<Decoder>(runner.checkpoint, threads, activations);
  runner.logits = logits_of(*runner.decoder);
  return runner;
}

}  // namespace bitloom
