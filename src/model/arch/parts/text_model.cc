// The text model inside a multimodal one, whose other parts are left aside.

#include "model/arch/parts.h"

namespace bitloom::arch {

std::vector<std::string> text_prefixes() { return {"model.", "model.language_model.", "language_model.model.", ""}; }

std::string text_head(const TensorNames& names) {
  const std::string inner = "language_model.lm_head";
  return names.has(inner + ".weight") ? inner : "lm_head";
}

Json text_document(const ConfigReader& outer, const Json& defaults) {
  Json text = outer.object("text_config");
  for (const auto& [key, value] : defaults.items()) {
    if (!text.contains(key)) text[key] = value;
  }
  for (const char* key : {"bos_token_id", "eos_token_id"}) {
    if (outer.has(key)) text[key] = Json(outer.ids(key, {}));
  }
  for (const char* key : {"dtype", "torch_dtype"}) {
    if (outer.has(key) && !text.contains(key)) text[key] = outer.text(key);
  }
  return text;
}

}  // namespace bitloom::arch
