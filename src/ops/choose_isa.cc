#include "ops/choose_isa.h"

#include <fmt/ranges.h>

#include <cstdlib>
#include <vector>

#include "base/error.h"

namespace bitloom {

Isa choose_isa(const char* name) {
  if (name == nullptr || *name == '\0') return best_isa();
  const std::optional<Isa> found = find_isa(name);
  if (found && machine_has(*found)) return *found;
  std::vector<std::string_view> allowed;
  for (const Isa isa : every_isa()) {
    if (machine_has(isa)) allowed.push_back(name_of(isa));
  }
  misuse("BITLOOM_ISA={}: {}; allowed here: {}", name,
         found ? "this machine does not have it" : "no instruction set that bitloom has kernels for",
         fmt::join(allowed, ", "));
}

Isa isa_from_environment() { return choose_isa(std::getenv("BITLOOM_ISA")); }

}  // namespace bitloom
