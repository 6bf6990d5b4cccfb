#pragma once
// For tests only: tokenizers that cut digits in each of the ways that the probe tells apart.

#include <fmt/format.h>

#include <string>

#include "io/json.h"
#include "tokenize/tokenizer.h"

namespace bitloom::testing {

/// `split` is the pre-tokenizer's pattern. Byte-level BPE over "</s>" (0), the ten digits and what the study writes
/// besides. With `threes` every run of two or three digits is a token, taken whole; the ids of three digits are
/// scattered, so that a neighbour is not the next id. `more` are merges of two tokens each, first in rank.
inline Tokenizer digit_tokenizer(const std::string& split, bool threes,
                                 const std::vector<std::pair<std::string, std::string>>& more = {}) {
  Json vocab = {{"</s>", 0}}, merges = Json::array();
  const auto add = [&](const std::string& token) { vocab[token] = vocab.size(); };
  for (char c = '0'; c <= '9'; ++c) add({c});
  for (const char* token : {"+", "-", "*", "=", ",", ".", "#", "$", "Ġ", "Ċ", "x"}) add(token);
  for (const auto& [left, right] : more) {
    add(left + right);
    merges.push_back({left, right});
  }
  for (int n = 0; threes && n < 100; ++n) {
    add(fmt::format("{:02}", n));
    merges.push_back({fmt::format("{}", n / 10), fmt::format("{}", n % 10)});
  }
  for (int n = 0; threes && n < 1000; ++n) {
    const int value = n * 7 % 1000;
    add(fmt::format("{:03}", value));
    merges.push_back({fmt::format("{:02}", value / 10), fmt::format("{}", value % 10)});
  }
  const Json document = {
      {"version", "1.0"},
      {"added_tokens", {{{"id", 0}, {"content", "</s>"}, {"special", true}, {"normalized", false}}}},
      {"pre_tokenizer",
       {{"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"}, {"pattern", {{"Regex", split}}}, {"behavior", "Isolated"}, {"invert", false}},
          {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}}}}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}, {"ignore_merges", threes}}}};
  return Tokenizer::from_json(document, "test tokenizer");
}

inline Tokenizer single_digits() { return digit_tokenizer(R"(\p{N}|[^\p{N}])", false); }
inline Tokenizer three_from_left() { return digit_tokenizer(R"(\p{N}{1,3}|[^\p{N}])", true); }
inline Tokenizer three_from_right() {
  return digit_tokenizer(R"(\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))|[^\p{N}])", true);
}
/// "12" and "34" are tokens, no other two digits.
inline Tokenizer irregular_digits() { return digit_tokenizer(R"(\p{N}+|[^\p{N}])", false, {{"1", "2"}, {"3", "4"}}); }
/// A comma merges with a zero behind it, a blank with any digit.
inline Tokenizer merging_digits() {
  std::vector<std::pair<std::string, std::string>> merges = {{",", "0"}};
  for (char c = '0'; c <= '9'; ++c) merges.push_back({"Ġ", {c}});
  return digit_tokenizer(R"([^\n]+)", false, merges);
}

}  // namespace bitloom::testing
