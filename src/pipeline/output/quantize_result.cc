#include "pipeline/output/quantize_result.h"

#include <fmt/format.h>

#include <utility>

namespace bitloom {

Json to_json(const QuantizeResult& result) {
  return {{"tensors", to_json(result.sites)},
          {"bits_nominal", result.bits_nominal},
          {"bits_true", result.bits_true},
          {"bits_true_model", result.bits_true_model},
          {"bits_model", result.bits_model},
          {"weights", result.weights},
          {"bytes", result.bytes},
          {"bytes_before", result.bytes_before},
          {"remarks", result.remarks},
          {"seconds", result.seconds},
          {"processor_seconds", result.processor_seconds}};
}

std::string lost_remark(const std::vector<SiteRecord>& sites) {
  int64_t lost = 0;
  const SiteRecord* worst = nullptr;
  for (const SiteRecord& site : sites) {
    if (site.taken_over || site.weight_error < kLostError) continue;
    ++lost;
    if (worst == nullptr || site.weight_error > worst->weight_error) worst = &site;
  }
  if (lost == 0) return "";
  return fmt::format(
      "matrices of which rounding leaves next to nothing: {}; worst: '{}' as {}, relative squared error {:.2f}", lost,
      worst->name, worst->storage, worst->weight_error);
}

}  // namespace bitloom
