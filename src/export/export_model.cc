#include "export/export_model.h"

#include <fmt/ranges.h>

#include "base/error.h"
#include "export/aqlm.h"
#include "export/peft/export_peft.h"

namespace bitloom {

std::span<const ExportTarget> export_targets() {
  static const std::vector<ExportTarget> targets = {
      {"aqlm", "additive codebooks, for transformers with the aqlm package", export_aqlm},
      {"peft", "fp16 values and a PEFT LoRA adapter, of matrices with a low-rank product", export_peft},
      {"peft-f32", "the same in fp32", export_peft_f32},
  };
  return targets;
}

const ExportTarget& find_export_target(const std::string& name) {
  std::vector<std::string> names;
  for (const ExportTarget& target : export_targets()) {
    if (target.name == name) return target;
    names.push_back(target.name);
  }
  misuse("--to '{}': no target of this name; there are: {}", name, fmt::join(names, ", "));
}

}  // namespace bitloom
