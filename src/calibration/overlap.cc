#include "calibration/overlap.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>

#include "base/error.h"

namespace bitloom {
namespace {

constexpr size_t kHexDigits = 16;

// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014): the finalizer of SplitMix64.
uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

// Written into files: must not change.
uint64_t hash_gram(std::span<const int32_t> gram) {
  uint64_t hash = 0;
  for (const int32_t token : gram) hash = mix(hash + 0x9e3779b97f4a7c15U + static_cast<uint32_t>(token));
  return hash;
}

void add_hashes(std::span<const int32_t> tokens, std::vector<uint64_t>& hashes) {
  constexpr auto kGram = static_cast<size_t>(GramFingerprint::kGramTokens);
  for (size_t at = 0; at + kGram <= tokens.size(); ++at) hashes.push_back(hash_gram(tokens.subspan(at, kGram)));
}

void keep_distinct(std::vector<uint64_t>& hashes) {
  std::sort(hashes.begin(), hashes.end());
  hashes.erase(std::unique(hashes.begin(), hashes.end()), hashes.end());
}

int64_t whole_number(const Json& value, const char* key, const std::string& origin) {
  const auto found = value.find(key);
  if (found == value.end() || !found->is_number_integer() || *found < 0)
    refuse("{}: fingerprint: \"{}\" is no whole number", origin, key);
  return found->get<int64_t>();
}

std::vector<uint64_t> hashes_of_hex(std::string_view text, const std::string& origin) {
  if (text.size() % kHexDigits != 0)
    refuse("{}: fingerprint: {} hex digits in \"hashes\", no multiple of {}", origin, text.size(), kHexDigits);
  std::vector<uint64_t> hashes;
  for (; !text.empty(); text.remove_prefix(kHexDigits)) {
    uint64_t hash = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + kHexDigits, hash, kHexDigits);
    if (error != std::errc() || stop != text.data() + kHexDigits)
      refuse("{}: fingerprint: hash {} of \"hashes\" is not {} hex digits", origin, hashes.size(), kHexDigits);
    if (!hashes.empty() && hash <= hashes.back())
      refuse("{}: fingerprint: hash {} of \"hashes\" is not above the one before", origin, hashes.size());
    hashes.push_back(hash);
  }
  return hashes;
}

}  // namespace

GramFingerprint fingerprint(std::span<const std::vector<int32_t>> sequences) {
  GramFingerprint result;
  for (const std::vector<int32_t>& sequence : sequences) add_hashes(sequence, result.hashes);
  keep_distinct(result.hashes);
  result.grams = static_cast<int64_t>(result.hashes.size());
  result.hashes.resize(std::min(result.hashes.size(), GramFingerprint::kMostHashes));
  result.hashes.shrink_to_fit();
  return result;
}

Json to_json(const GramFingerprint& fingerprint) {
  std::string hex;
  for (const uint64_t hash : fingerprint.hashes) hex += fmt::format("{:016x}", hash);
  return {{"gram_tokens", GramFingerprint::kGramTokens}, {"grams", fingerprint.grams}, {"hashes", hex}};
}

GramFingerprint fingerprint_from_json(const Json& value, const std::string& origin) {
  if (!value.is_object()) refuse("{}: fingerprint: {}, expected a JSON object", origin, value.type_name());
  const int64_t gram = whole_number(value, "gram_tokens", origin);
  if (gram != GramFingerprint::kGramTokens)
    refuse("{}: fingerprint: \"gram_tokens\" is {}, allowed: {}", origin, gram, GramFingerprint::kGramTokens);
  GramFingerprint result;
  result.grams = whole_number(value, "grams", origin);
  const auto hex = value.find("hashes");
  if (hex == value.end() || !hex->is_string()) refuse("{}: fingerprint: \"hashes\" is no string", origin);
  result.hashes = hashes_of_hex(hex->get_ref<const std::string&>(), origin);
  const int64_t expected = std::min(result.grams, static_cast<int64_t>(GramFingerprint::kMostHashes));
  if (static_cast<int64_t>(result.hashes.size()) != expected)
    refuse("{}: fingerprint: {} hashes of {} grams, expected {}", origin, result.hashes.size(), result.grams, expected);
  return result;
}

ContainedShare contained_share(const GramFingerprint& fingerprint, std::span<const int32_t> tokens) {
  std::vector<uint64_t> hashes;
  add_hashes(tokens, hashes);
  keep_distinct(hashes);
  const uint64_t tau = fingerprint.complete() ? std::numeric_limits<uint64_t>::max() : fingerprint.hashes.back();
  ContainedShare result;
  result.grams = static_cast<int64_t>(hashes.size());
  int64_t contained = 0;
  for (const uint64_t hash : hashes) {
    if (hash > tau) break;
    ++result.compared;
    contained += std::binary_search(fingerprint.hashes.begin(), fingerprint.hashes.end(), hash) ? 1 : 0;
  }
  const auto n = static_cast<double>(result.compared), x = static_cast<double>(contained);
  const double population = result.grams == 0 ? 1 : 1 - n / static_cast<double>(result.grams);
  result.share = n > 0 ? x / n : 0;
  result.standard_error = std::sqrt((x + 1) * (n - x + 1) / ((n + 2) * (n + 2) * (n + 3)) * population);
  return result;
}

}  // namespace bitloom
