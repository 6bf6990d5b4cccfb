#include "cli/flags/adapter_flag.h"

#include <utility>

#include "export/peft/adapt.h"

namespace bitloom {

void add_adapter_flag(FlagSet& app, AdapterFlag& adapter) {
  app.add_option("--adapter", adapter.directory, "a PEFT LoRA adapter on the model")->type_name("DIR");
}

std::shared_ptr<const Checkpoint> open_model(const std::string& path, const AdapterFlag& adapter, Session& session) {
  auto model = Checkpoint::open(path, session.warner());
  if (adapter.directory.empty()) return model;
  return adapted(std::move(model), read_peft_adapter(adapter.directory), session.warner());
}

}  // namespace bitloom
