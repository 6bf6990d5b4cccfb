#include "export/export_model.h"

#include <fmt/ranges.h>

#include "base/error.h"
#include "export/aqlm.h"

namespace bitloom {

std::span<const ExportTarget> export_targets() {
  static const std::vector<ExportTarget> targets = {
      {"aqlm", "additive codebooks, for transformers with the aqlm package", export_aqlm},
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
