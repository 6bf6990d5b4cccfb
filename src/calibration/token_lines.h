#pragma once
// Files of token ids: one document a line.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bitloom {

/// Each line's ids, a JSON array or numbers separated by white space; blank lines are passed over. Error(kRefused)
/// naming `origin`, the line and what is wrong: something that is no whole number, an id that is not in
/// 0 .. vocab_size - 1, no ids at all.
std::vector<std::vector<int32_t>> parse_token_lines(std::string_view text, int64_t vocab_size,
                                                    const std::string& origin);

}  // namespace bitloom
