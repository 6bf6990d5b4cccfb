#include "model/config_reader.h"

#include <cmath>
#include <limits>

#include "base/error.h"

namespace bitloom {
namespace {

/// A value as it stands in the file, shortened for messages.
std::string shown(const Json& value) {
  constexpr size_t kLimit = 80;
  if (value.is_number_float() && !std::isfinite(value.get<double>())) {
    const bool is_nan = std::isnan(value.get<double>());
    return is_nan ? "NaN" : value.get<double>() < 0 ? "-Infinity" : "Infinity";
  }
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kLimit) text = text.substr(0, kLimit) + "...";
  return text;
}

bool is_zero(const Json& value) { return value.is_number() && value.get<double>() == 0.0; }

}  // namespace

ConfigReader::ConfigReader(const Json& document, std::string origin, std::string prefix)
    : document_(&document), origin_(std::move(origin)), prefix_(std::move(prefix)) {
  if (document.is_object()) return;
  const std::string what = prefix_.empty() ? "the document" : prefix_.substr(0, prefix_.size() - 1);
  refuse("{}: {} is {}, expected an object", origin_, what, shown(document));
}

const Json* ConfigReader::find(const std::string& key) const {
  const auto at = document_->find(key);
  return at == document_->end() || at->is_null() ? nullptr : &*at;
}

bool ConfigReader::has(const std::string& key) const { return find(key) != nullptr; }

const Json& ConfigReader::require(const std::string& key) const {
  const Json* value = find(key);
  if (value == nullptr) refuse("{}: key '{}{}' is missing", origin_, prefix_, key);
  return *value;
}

void ConfigReader::refuse_value(const std::string& key, const std::string& explanation) const {
  const auto at = document_->find(key);
  const std::string value = at == document_->end() ? "absent" : shown(*at);
  refuse("{}: '{}{}' is {}, {}", origin_, prefix_, key, value, explanation);
}

int64_t ConfigReader::count(const std::string& key) const {
  const Json& value = require(key);
  const std::string allowed = fmt::format("expected an integer from 1 to {}", kMaxCount);
  // Some tools write counts as 4096.0.
  if (!value.is_number()) refuse_value(key, allowed);
  const double number = value.get<double>();
  if (!(number >= 1 && number <= static_cast<double>(kMaxCount)) || number != std::floor(number)) {
    refuse_value(key, allowed);
  }
  return static_cast<int64_t>(number);
}

int64_t ConfigReader::count(const std::string& key, int64_t fallback) const { return has(key) ? count(key) : fallback; }

std::optional<int64_t> ConfigReader::find_count(const std::string& key) const {
  if (!has(key)) return std::nullopt;
  return count(key);
}

double ConfigReader::number(const std::string& key) const {
  const Json& value = require(key);
  if (!value.is_number() || !std::isfinite(value.get<double>())) refuse_value(key, "expected a number");
  return value.get<double>();
}

double ConfigReader::number(const std::string& key, double fallback) const { return has(key) ? number(key) : fallback; }

double ConfigReader::positive(const std::string& key) const {
  const double value = number(key);
  if (!(value > 0) || !std::isfinite(value)) refuse_value(key, "expected a number > 0");
  return value;
}

double ConfigReader::positive(const std::string& key, double fallback) const {
  return has(key) ? positive(key) : fallback;
}

std::optional<double> ConfigReader::find_number(const std::string& key) const {
  if (!has(key)) return std::nullopt;
  return number(key);
}

bool ConfigReader::flag(const std::string& key, bool fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) refuse_value(key, "expected true or false");
  return value->get<bool>();
}

std::string ConfigReader::text(const std::string& key) const {
  if (!require(key).is_string()) refuse_value(key, "expected a string");
  return require(key).get<std::string>();
}

std::string ConfigReader::text(const std::string& key, const std::string& fallback) const {
  return has(key) ? text(key) : fallback;
}

std::vector<std::string> ConfigReader::texts(const std::string& key) const {
  const Json* value = find(key);
  if (value == nullptr) return {};
  std::vector<std::string> out;
  if (!value->is_array()) refuse_value(key, "expected a list of strings");
  for (const Json& item : *value) {
    if (!item.is_string()) refuse_value(key, "expected a list of strings");
    out.push_back(item.get<std::string>());
  }
  return out;
}

std::vector<double> ConfigReader::numbers(const std::string& key) const {
  const Json* value = find(key);
  if (value == nullptr) return {};
  std::vector<double> out;
  if (!value->is_array()) refuse_value(key, "expected a list of numbers");
  for (const Json& item : *value) {
    if (!item.is_number() || !std::isfinite(item.get<double>())) refuse_value(key, "expected a list of numbers");
    out.push_back(item.get<double>());
  }
  return out;
}

std::vector<int32_t> ConfigReader::ids(const std::string& key, std::vector<int32_t> fallback) const {
  if (!contains(key)) return fallback;
  const Json* value = find(key);
  if (value == nullptr) return {};
  std::vector<int32_t> out;
  for (const Json& item : value->is_array() ? *value : Json::array({*value})) {
    const double id = item.is_number_integer() ? item.get<double>() : -1.0;
    // -1 is how some exporters write "none".
    if (item.is_number_integer() && id == -1.0) continue;
    if (!(id >= 0 && id <= std::numeric_limits<int32_t>::max())) {
      refuse_value(key, "expected a token id or a list of token ids");
    }
    out.push_back(static_cast<int32_t>(id));
  }
  return out;
}

Json ConfigReader::object(const std::string& key) const {
  const Json* value = find(key);
  if (value == nullptr) return Json::object();
  if (!value->is_object()) refuse_value(key, "expected an object");
  return *value;
}

void ConfigReader::refuse_if_set(const std::string& key, const std::string& reason) const {
  const Json* value = find(key);
  if (value == nullptr || is_zero(*value)) return;
  if (value->is_boolean() && !value->get<bool>()) return;
  if ((value->is_array() || value->is_object()) && value->empty()) return;
  if (value->is_string() && value->get_ref<const std::string&>().empty()) return;
  refuse_value(key, reason);
}

}  // namespace bitloom
