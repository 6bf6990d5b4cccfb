#include "suite/tables/values.h"

#include <map>

#include "base/error.h"
#include "base/text/text.h"
#include "report/numbers.h"

namespace bitloom {
namespace {

using Writer = std::string (*)(double value);

const std::map<std::string, Writer>& writers() {
  static const std::map<std::string, Writer> list = {
      {"text", [](double value) { return format_significant(value, 4); }},
      {"number", [](double value) { return format_significant(value, 4); }},
      {"bits", format_bits},
      {"mib", [](double value) { return format_mib(static_cast<int64_t>(value)); }},
      {"percent", format_percent},
      {"perplexity", format_perplexity},
      {"rate", format_rate},
      {"duration", format_duration},
      {"count", [](double value) { return format_count(static_cast<int64_t>(value)); }},
  };
  return list;
}

double number(const Json& value, const std::string& as) {
  if (!value.is_number()) misuse("{} is no number, which '{}' needs", value.dump(), as);
  return value.get<double>();
}

bool ends_with_seconds(const std::string& key) { return key == "seconds" || key.ends_with("_seconds"); }

}  // namespace

std::vector<std::string> column_formats() {
  std::vector<std::string> names;
  for (const auto& [name, writer] : writers()) names.push_back(name);
  return names;
}

ValuePath parse_value_path(const std::string& text) {
  const size_t dot = text.find('.');
  if (dot == text.npos || dot == 0 || dot + 1 == text.size())
    misuse("'{}' must be EVALUATION.KEY, as 'kl.kl_mean'", text);
  return {text.substr(0, dot), text.substr(dot + 1)};
}

const Json* find_value(const Json& record, const std::string& key) {
  const Json* at = &record;
  for (const std::string& part : split(key, '.')) {
    if (at->is_object() && at->contains(part)) {
      at = &at->at(part);
    } else if (const auto index = parse_number<size_t>(part); at->is_array() && index && *index < at->size()) {
      at = &at->at(*index);
    } else {
      return nullptr;
    }
  }
  return at;
}

const Json& value_at(const Json& record, const ValuePath& path) {
  if (const Json* found = find_value(record, path.key)) return *found;
  std::vector<std::string> keys;
  for (const auto& [key, value] : record.items()) keys.push_back(key);
  misuse("the result of '{}' has no '{}'{}; it has: {}", path.evaluation, path.key, did_you_mean(path.key, keys),
         fmt::join(keys, ", "));
}

std::string format_value(const Json& value, const std::string& as) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer() && as == "text") return value.dump();
  if (!value.is_number() && as == "text") return value.dump();
  return writers().at(as)(number(value, as));
}

std::string format_value(const Json& value, const Json& interval, const std::string& as) {
  if (value.is_null()) return "-";
  if (!interval.is_array() || interval.size() != 2)
    misuse("an interval must be [low, high], found {}", interval.dump());
  return format_interval(number(value, as), number(interval[0], as), number(interval[1], as));
}

Json with_text_replaced(const Json& record, const std::string& from, const std::string& to) {
  if (record.is_string()) {
    std::string text = record;
    for (size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size()))
      text.replace(at, from.size(), to);
    return text;
  }
  if (!record.is_structured()) return record;
  Json out = record;
  for (Json& item : out) item = with_text_replaced(item, from, to);
  return out;
}

bool is_time(const std::string& key) {
  return ends_with_seconds(key) || key == "times" || key.find("per_second") != key.npos ||
         key.find("bandwidth") != key.npos;
}

Json without_times(const Json& record) {
  if (record.is_array()) {
    Json out = Json::array();
    for (const Json& item : record) out.push_back(without_times(item));
    return out;
  }
  if (!record.is_object()) return record;
  Json out = Json::object();
  for (const auto& [key, value] : record.items())
    if (!is_time(key)) out[key] = without_times(value);
  return out;
}

Json times_of(const Json& record) {
  Json out;
  if (record.is_array()) {
    for (size_t i = 0; i < record.size(); ++i)
      if (Json inner = times_of(record[i]); !inner.is_null()) out[std::to_string(i)] = std::move(inner);
  }
  if (!record.is_object()) return out;
  for (const auto& [key, value] : record.items()) {
    Json inner = is_time(key) ? value : times_of(value);
    if (!inner.is_null()) out[key] = std::move(inner);
  }
  return out;
}

}  // namespace bitloom
