#include "cli/flags/adapter_flag.h"

namespace bitloom {

void add_adapter_flag(FlagSet&, AdapterFlag&) {}

std::shared_ptr<const Checkpoint> open_model(const std::string& path, const AdapterFlag&, Session& session) {
  return Checkpoint::open(path, session.warner());
}

}  // namespace bitloom
