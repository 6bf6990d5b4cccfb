#include <fmt/ranges.h>

#include "base/text/text.h"
#include "cli/flags/common_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/verb.h"
#include "export/export_model.h"
#include "io/directory/output_directory.h"

namespace bitloom {
namespace {

struct Flags {
  std::string model, out, to;
  bool force = false;
};

void export_to(const Flags& flags, Session& session) {
  const ExportTarget& target = find_export_target(flags.to);
  check_output(flags.out, flags.force);
  check_spares(flags.out, std::vector{flags.model});
  const auto model = Checkpoint::open(flags.model, session.warner());
  const InterruptGuard guard;
  const ExportReport report = target.write({*model, flags.out, flags.force}, session.context());
  for (const std::string& remark : report.remarks) session.progress().log(remark);
  session.show({{"model", flags.model},
                {"out", flags.out},
                {"to", target.name},
                {"layout", report.layout},
                {"matrices", report.matrices},
                {"bytes", report.bytes},
                {"remarks", report.remarks}},
               fmt::format("{}: {} matrices as {} {}, {}\n", flags.out, report.matrices, target.name, report.layout,
                           human_bytes(report.bytes)));
}

std::string help_of_targets() {
  std::vector<std::string> lines;
  for (const ExportTarget& target : export_targets()) lines.push_back(target.name + ": " + target.summary);
  return fmt::format("{}", fmt::join(lines, "; "));
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  add_model_flag(app, flags->model);
  app.add_option("OUT,-o,--output", flags->out, "directory to write; appears only when complete")
      ->type_name("OUT")
      ->required();
  app.add_option("--to", flags->to, help_of_targets())->type_name("TARGET")->required();
  app.add_flag("--force", flags->force, "replace OUT when it exists");
  add_json_flag(app, session);
  return [flags, &session] { export_to(*flags, session); };
}

}  // namespace

Verb export_verb() {
  return {"export",
          "write a quantized model as another tool's files",
          "MODEL OUT --to TARGET [flags]",
          {"bitloom export /tmp/demo-aqlm /tmp/demo-hf --to aqlm",
           "bitloom export /tmp/demo-apiq /tmp/demo-hf --to peft-f32 --force --json"},
          setup};
}

}  // namespace bitloom
