#include "kernels/trellis_search/loops.h"

namespace bitloom {

uint16_t trellis_least_portable(const TrellisStep& step) { return loops::least(step); }
void trellis_spread_portable(const TrellisStep& step, uint16_t least) { loops::spread(step, least); }

}  // namespace bitloom
