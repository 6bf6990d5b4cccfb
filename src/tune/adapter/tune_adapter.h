#pragma once
// Fine-tuning of an adapter on a frozen model: what a quantized base with an adapter is made for (LoftQ, 2310.08659;
// ApiQ, 2402.05147, section 5). The loss is adapter_loss.h's, the optimiser learner.h's: AdamW, the rate rising over
// the first steps and falling by half a cosine; the adapter with the least loss on the windows that are held out is
// kept.
//
//   OUT/                          adapter_config.json and adapter_model.safetensors, for peft and --adapter;
//                                 tuning.json: what it was made from and how, and the losses; no times
//   OUT.tuning.safetensors        where it stands, after each measurement; goes with the run that ends
//
// Goals: any model, any storage; the same bytes for any number of threads, and for a run that was killed and goes on;
// memory that is known before work begins.

#include <cstdint>
#include <memory>
#include <string>

#include "base/context.h"
#include "export/peft/adapter.h"
#include "io/json.h"
#include "model/checkpoint/checkpoint.h"
#include "pipeline/walk/stream/token_entrance.h"

namespace bitloom {

inline constexpr int64_t kMostEpochs = 1000;  // as recipes allow

struct AdapterTuning {
  int64_t batch = 8;        // windows of a step
  int64_t epochs = 3;       // passes over what is learned from, kMostEpochs at most
  int64_t steps = 0;        // at most; 0: those of all epochs
  double rate = 3e-4;       // of AdamW
  double warm_up = 0.03;    // share of the steps on which the rate rises
  double decay = 0.01;      // of AdamW
  double validation = 0.1;  // share of the windows that are held out
  uint64_t seed = 0;        // of the order
  int64_t memory = 0;       // bytes to stay within; 0: what the machine has
  bool force = false, restart = false;
};

struct AdapterTask {
  std::shared_ptr<const Checkpoint> model;
  PeftAdapter adapter;       // to begin from
  TokenSequences sequences;  // windows, all of one length
  Json text;                 // what they are, for the record
  AdapterTuning options;
};

/// Before any work. Error(kUsage): options outside their range, a share that holds out nothing or all, a model whose
/// inputs are rounded. Errors as modules_by_tensor().
void check_adapter_task(const AdapterTask& task);

struct AdapterCost {
  int64_t memory = 0;  // what the process takes at most
  double flops = 0;
  int64_t steps = 0, learned = 0;  // learned: numbers
};
AdapterCost cost_of(const AdapterTask& task);

struct AdapterTuned {
  double loss_before = 0, loss_after = 0;  // on what is held out, nats per token
  int64_t best_step = 0, steps = 0, steps_planned = 0;
  int64_t windows = 0, held_out = 0;  // windows learned from and held out
  int64_t modules = 0, learned = 0;
  double seconds = 0;
};
Json to_json(const AdapterTuned& tuned);

inline constexpr const char* kTuningRecord = "tuning.json";
/// "OUT.tuning.safetensors"
std::string tuning_checkpoint(const std::string& out);

/// Writes the adapter to `out`. Errors as check_adapter_task(), OutputDirectory and load_state(); Error(kFailed) for
/// too little memory, with what would do, and where the loss is not finite before the first step.
AdapterTuned tune_adapter(const AdapterTask& task, const std::string& out, Context& context);

}  // namespace bitloom
