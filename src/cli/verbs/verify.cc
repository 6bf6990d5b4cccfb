
#include "cli/flags/common_flags.h"
#include "cli/verb.h"
#include "pipeline/output/verify_model.h"

namespace bitloom {
namespace {

void verify(const std::string& model, Session& session) {
  const std::vector<std::string> checks = verify_model(model, session.context());
  std::string text;
  for (const std::string& check : checks) text += "ok  " + check + "\n";
  session.show({{"model", model}, {"ok", true}, {"checks", checks}}, text + model + " verifies\n");
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto model = std::make_shared<std::string>();
  add_model_flag(app, *model);
  add_threads_flag(app, session);
  add_json_flag(app, session);
  return [model, &session] { verify(*model, session); };
}

}  // namespace

Verb verify_verb() {
  return {"verify",
          "check a quantized model: hashes, finite values, codes in range",
          "MODEL [flags]",
          {"bitloom verify /tmp/demo-int4", "bitloom verify /tmp/demo-int4 --json"},
          setup};
}

}  // namespace bitloom
