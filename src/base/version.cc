#include "base/version.h"

namespace bitloom {

std::string version() { return BITLOOM_VERSION; }

}  // namespace bitloom
