#pragma once
// A model that is judged: open and ready to run.

#include <memory>

#include "base/threads.h"
#include "eval/logits/logits_source.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {

/// What a model needs to run, in the order in which it must be destroyed.
struct Runner {
  std::shared_ptr<const Checkpoint> checkpoint;
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<LogitsSource> logits;
};

/// With rounded activations, or keys and values, the logits are those of decoding tokens, from passes in which the most
/// inputs are rounded (Decoder::rounding_rows). Error(kRefused) then where attention is bidirectional.
Runner make_runner(std::shared_ptr<const Checkpoint> checkpoint, ThreadPool& threads,
                   Activations activations = Activations::kExact, KvFormat kv = KvFormat::kFp32);

}  // namespace bitloom
