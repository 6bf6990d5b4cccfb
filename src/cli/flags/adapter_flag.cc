#include "cli/flags/adapter_flag.h"

#include <filesystem>
#include <string>
#include <utility>

#include "base/error.h"
#include "export/peft/adapt.h"
#include "io/json.h"
#include "pipeline/output/manifest.h"
#include "recipe/parts.h"

namespace bitloom {

void refuse_rewritten(const std::string& model) {
  const std::string manifest = model + "/" + kManifestFile;
  if (!std::filesystem::exists(manifest)) return;
  const Json json = read_json(manifest);
  const auto recipe = json.find("recipe");
  if (recipe == json.end() || !recipe->is_object()) return;
  for (const Json& step : recipe->value("steps", Json::array())) {
    const auto transform = step.is_object() ? step.find("transform") : step.end();
    if (transform == step.end()) continue;
    const std::string name = transform->is_object() && !transform->empty() ? transform->begin().key()
                             : transform->is_string()                      ? transform->get<std::string>()
                                                                           : "";
    const std::optional<Part> part = find_part(name);
    if (!part || row_of(*part).stage >= PartStage::kRounding) continue;
    misuse("{}: '{}' rewrote its weights before they were rounded, so an adapter of the original's does not fit them",
           manifest, name);
  }
}

void add_adapter_flag(FlagSet& app, AdapterFlag& adapter) {
  app.add_option("--adapter", adapter.directory, "a PEFT LoRA adapter on the model")->type_name("DIR");
}

std::shared_ptr<const Checkpoint> open_model(const std::string& path, const AdapterFlag& adapter, Session& session) {
  auto model = Checkpoint::open(path, session.warner());
  if (adapter.directory.empty()) return model;
  refuse_rewritten(path);
  return adapted(std::move(model), read_peft_adapter(adapter.directory), session.warner());
}

}  // namespace bitloom
