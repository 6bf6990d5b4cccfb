#include "pipeline/output/quantize_result.h"

#include <utility>

namespace bitloom {

Json to_json(const QuantizeResult& result) {
  Json sites = Json::array();
  for (const SiteRecord& site : result.sites) {
    Json entry = to_json(site);
    entry["name"] = site.name;
    sites.push_back(std::move(entry));
  }
  return {{"tensors", std::move(sites)},     {"bits_nominal", result.bits_nominal},
          {"bits_true", result.bits_true},   {"bits_true_model", result.bits_true_model},
          {"bits_model", result.bits_model}, {"weights", result.weights},
          {"bytes", result.bytes},           {"bytes_before", result.bytes_before},
          {"remarks", result.remarks},       {"seconds", result.seconds}};
}

}  // namespace bitloom
