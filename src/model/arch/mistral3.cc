// Mistral Small 3.1 and later, and Ministral 3 as published: the text model (mistral or ministral3) of text_config.

#include "model/arch/parts.h"

namespace bitloom {

Graph build_mistral(const Json& document, const std::string& origin, const TensorNames& names);
Graph build_ministral3(const Json& document, const std::string& origin, const TensorNames& names);

Graph build_mistral3(const Json& document, const std::string& origin, const TensorNames& names) {
  const ConfigReader outer(document, origin);
  const std::string tie = "tie_word_embeddings";
  // Files that say nothing of it have a head or have none.
  const bool tied = outer.flag(tie, !names.has(arch::text_head(names) + ".weight"));
  const Json text = arch::text_document(outer, {{"model_type", "mistral"}, {tie, tied}});
  const ConfigReader config(text, origin, "text_config.");
  arch::refuse_unsupported(config);
  const std::string model_type = config.text("model_type");
  if (model_type == "mistral") return build_mistral(text, origin, names);
  if (model_type == "ministral3") return build_ministral3(text, origin, names);
  config.refuse_value("model_type", "supported: mistral, ministral3");
}

}  // namespace bitloom
