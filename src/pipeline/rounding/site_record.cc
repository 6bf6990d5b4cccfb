#include "pipeline/rounding/site_record.h"

namespace bitloom {

Json to_json(const SiteRecord& site) {
  Json json = {{"storage", site.storage},   {"shape", {site.rows, site.cols}},   {"bytes", site.bytes},
               {"rounding", site.rounding}, {"bits_nominal", site.bits_nominal}, {"bits_true", site.bits_true}};
  if (!site.search.empty()) json["search"] = site.search;
  if (site.taken_over) {
    json["taken_over"] = true;
    return json;
  }
  json.update({{"weight_error", site.weight_error},
               {"max_abs_error", site.max_abs_error},
               {"saturated", site.saturated},
               {"zero_groups", site.zero_groups}});
  if (site.output_error) json["output_error"] = *site.output_error;
  if (site.predicted_kl) json["predicted_kl"] = *site.predicted_kl;
  if (site.damping) json["damping"] = *site.damping;
  if (site.held_drift) json["held_drift"] = *site.held_drift;
  if (site.compensation_ratio) json["compensation_ratio"] = *site.compensation_ratio;
  if (site.flipped) json["flipped"] = *site.flipped;
  if (site.rows_kept) json["rows_kept"] = *site.rows_kept;
  if (site.tokens > 0) {
    json.update(
        {{"tokens", site.tokens}, {"dropped_tokens", site.dropped_tokens}, {"dead_channels", site.dead_channels}});
  }
  return json;
}

Json to_json(const std::vector<SiteRecord>& sites) {
  Json all = Json::array();
  for (const SiteRecord& site : sites) {
    Json entry = to_json(site);
    entry["name"] = site.name;
    all.push_back(std::move(entry));
  }
  return all;
}

SiteRecord site_from_json(const Json& json) {
  SiteRecord site;
  site.name = json.at("name").get<std::string>();
  site.storage = json.at("storage").get<std::string>();
  site.search = json.value("search", "");
  site.rows = json.at("shape").at(0).get<int64_t>();
  site.cols = json.at("shape").at(1).get<int64_t>();
  site.bytes = json.at("bytes").get<int64_t>();
  site.rounding = json.at("rounding").get<std::string>();
  site.bits_nominal = json.at("bits_nominal").get<double>();
  site.bits_true = json.at("bits_true").get<double>();
  site.weight_error = json.value("weight_error", 0.0);
  site.max_abs_error = json.value("max_abs_error", 0.0);
  site.saturated = json.value("saturated", int64_t{0});
  site.zero_groups = json.value("zero_groups", int64_t{0});
  site.taken_over = json.value("taken_over", false);
  if (json.contains("output_error")) site.output_error = json["output_error"].get<double>();
  if (json.contains("predicted_kl")) site.predicted_kl = json["predicted_kl"].get<double>();
  if (json.contains("damping")) site.damping = json["damping"].get<double>();
  if (json.contains("held_drift")) site.held_drift = json["held_drift"].get<double>();
  if (json.contains("compensation_ratio")) site.compensation_ratio = json["compensation_ratio"].get<double>();
  if (json.contains("flipped")) site.flipped = json["flipped"].get<int64_t>();
  if (json.contains("rows_kept")) site.rows_kept = json["rows_kept"].get<int64_t>();
  site.tokens = json.value("tokens", int64_t{0});
  site.dropped_tokens = json.value("dropped_tokens", int64_t{0});
  site.dead_channels = json.value("dead_channels", int64_t{0});
  return site;
}

}  // namespace bitloom
