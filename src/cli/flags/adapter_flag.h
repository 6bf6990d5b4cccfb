#pragma once
// --adapter DIR: a PEFT LoRA adapter on the model that a verb reads (export/peft). A program that only runs models has
// no such flag: there adapter_flag_none.cc stands in for adapter_flag.cc.

#include <memory>
#include <string>

#include "cli/flags/flags.h"
#include "cli/terminal/session.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {

struct AdapterFlag {
  std::string directory;  // "": none
  /// The record of a result, which says what the model wore.
  Json noted(Json record) const {
    if (!directory.empty()) record["adapter"] = directory;
    return record;
  }
};
void add_adapter_flag(FlagSet& app, AdapterFlag& adapter);

/// Error(kUsage) where the recipe of a quantized model moved its weights to other coordinates: an adapter's are the
/// original's.
void refuse_rewritten(const std::string& model);

/// MODEL, with the adapter on it where one is given. Errors as Checkpoint::open and adapted().
std::shared_ptr<const Checkpoint> open_model(const std::string& path, const AdapterFlag& adapter, Session& session);

}  // namespace bitloom
