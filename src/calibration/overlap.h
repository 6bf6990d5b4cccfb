#pragma once
// Does an evaluation text overlap the text that was calibrated on? A fingerprint small enough for a model's manifest
// answers it for any text, later.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/json.h"

namespace bitloom {

/// A bottom-k sketch (Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007) of the distinct runs of
/// kGramTokens consecutive tokens ("grams") of a set of sequences.
struct GramFingerprint {
  static constexpr int64_t kGramTokens = 16;
  static constexpr size_t kMostHashes = 1024;

  int64_t grams = 0;             // distinct ones, all
  std::vector<uint64_t> hashes;  // the kMostHashes smallest, or all when there are no more; ascending

  bool complete() const { return static_cast<int64_t>(hashes.size()) == grams; }
  bool operator==(const GramFingerprint&) const = default;
};

/// No gram crosses from one sequence to the next; a sequence of fewer than kGramTokens tokens has none.
GramFingerprint fingerprint(std::span<const std::vector<int32_t>> sequences);

/// {"gram_tokens", "grams", "hashes": one string of 16 hex digits a hash}.
Json to_json(const GramFingerprint& fingerprint);
/// Error(kRefused) naming `origin` and the key for anything that to_json() does not write.
GramFingerprint fingerprint_from_json(const Json& value, const std::string& origin);

struct ContainedShare {
  double share = 0;           // of the text's distinct grams, those that occur in what the fingerprint was made from
  double standard_error = 0;  // of `share`; 0 when every gram was compared
  int64_t compared = 0;       // grams that could be looked up
  int64_t grams = 0;          // distinct grams of the text
};

/// With tau the greatest hash of an incomplete fingerprint (of a complete one: all hashes lie below), membership of a
/// gram with hash <= tau is known exactly. Hashes being uniform, the text's n of N grams that lie there are a random
/// sample of it, x of them contained:
///   share = x / n
///   standard_error^2 = (x + 1)(n - x + 1) / ((n + 2)^2 (n + 3)) (1 - n / N)
/// the variance of the share given x under a uniform prior (so x = 0 of few does not look certain), times the
/// correction for a finite population, which makes it 0 where n = N. n = 0: share 0, standard error that of knowing
/// nothing.
ContainedShare contained_share(const GramFingerprint& fingerprint, std::span<const int32_t> tokens);

}  // namespace bitloom
