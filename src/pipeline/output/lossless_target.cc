#include "pipeline/output/lossless_target.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "round/nearest/nearest.h"

namespace bitloom {
namespace {

// Storage of a matrix, and the target with the same levels and groups. Q8_0's encoder makes the largest of 32 weights
// +-127.
constexpr std::pair<const char*, const char*> kCounterparts[] = {
    {"Q8_0", "int8-narrow-g32"},
    {"MXFP4", "mxfp4"},
};

}  // namespace

std::optional<RoundingTarget> lossless_target(const RowSource& w, ThreadPool& threads) {
  const std::string storage = w.storage();
  const auto* counterpart = std::find_if(std::begin(kCounterparts), std::end(kCounterparts),
                                         [&](const auto& row) { return row.first == storage; });
  if (counterpart == std::end(kCounterparts)) return std::nullopt;
  const GridTarget target = parse_grid_target(counterpart->second);
  RoundReport report;
  try {
    quantize_nearest(storage, w, target, threads, &report);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kRefused) throw;
    return std::nullopt;  // a value that is not finite: whoever writes it says where
  }
  if (report.max_abs_error > 0) return std::nullopt;
  return RoundingTarget{{target.storage, {}}, target.search};
}

}  // namespace bitloom
