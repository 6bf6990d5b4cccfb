#pragma once
// Figures of a record: where they stand, how a table writes them, which of them are times.

#include <string>
#include <vector>

#include "io/json.h"

namespace bitloom {

/// What `as` of a column may be: "text", "bits", "mib", "percent", "perplexity", "number", "rate", "duration", "count".
std::vector<std::string> column_formats();

/// "EVALUATION.KEY", KEY as "ppl" or "tasks.piqa.acc" or "kl_ci95.0".
struct ValuePath {
  std::string evaluation, key;
};
/// Error(kUsage) for a text without a dot.
ValuePath parse_value_path(const std::string& text);

/// The value at KEY; nullptr where the record has none.
const Json* find_value(const Json& record, const std::string& key);
/// The same; Error(kUsage) with the nearest key of the record when it has none.
const Json& value_at(const Json& record, const ValuePath& path);

/// "text" writes a string as it is, a number with four digits. Error(kUsage) for a value that is no number where one is
/// needed; null is "-".
std::string format_value(const Json& value, const std::string& as);
/// A value with the half-width of its interval [low, high].
std::string format_value(const Json& value, const Json& interval, const std::string& as);

/// The record with `from` replaced by `to` wherever a string holds it.
Json with_text_replaced(const Json& record, const std::string& from, const std::string& to);

/// Whether a key holds what differs from run to run: a time, a rate, a measured bandwidth.
bool is_time(const std::string& key);
/// The record without such keys, at any depth.
Json without_times(const Json& record);
/// Such keys alone; null when there are none.
Json times_of(const Json& record);

}  // namespace bitloom
