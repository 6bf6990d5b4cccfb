#pragma once
// JSON files of foreign origin: size-checked, duplicate keys refused, errors with file and byte offset.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace bitloom {

using Json = nlohmann::json;

/// Parses text that came from `origin` (a path, for messages). Error(kRefused) with byte offset; nesting deeper than
/// 100 and duplicate keys are refused. NaN, Infinity and -Infinity, which Python writes, are numbers: whoever reads a
/// number checks that it is finite.
Json parse_json(std::string_view text, const std::string& origin);
/// A file of at most 512 MiB.
Json read_json(const std::string& path);

/// Keys keep sorted order, two-space indent, final newline: the same value gives the same bytes. Error(kFailed) when a
/// string in it is no valid UTF-8.
std::string dump_json(const Json& value);

/// Whole file as bytes; Error(kRefused) naming the path.
std::string read_text(const std::string& path);

}  // namespace bitloom
