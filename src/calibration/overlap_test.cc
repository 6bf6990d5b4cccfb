#include "calibration/overlap.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/rng.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

using Tokens = std::vector<int32_t>;

Tokens random_tokens(size_t count, uint64_t stream) {
  Rng rng(1, stream);
  Tokens tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(rng.next_u32() % 50000);
  return tokens;
}

std::set<Tokens> grams_of(const Tokens& tokens) {
  std::set<Tokens> grams;
  for (auto begin = tokens.begin(); tokens.end() - begin >= GramFingerprint::kGramTokens; ++begin)
    grams.emplace(begin, begin + GramFingerprint::kGramTokens);
  return grams;
}

/// The definition: sets of grams.
double exact_share(const Tokens& calibration, const Tokens& text) {
  const std::set<Tokens> known = grams_of(calibration), grams = grams_of(text);
  size_t contained = 0;
  for (const Tokens& gram : grams) contained += known.count(gram);
  return static_cast<double>(contained) / static_cast<double>(grams.size());
}

GramFingerprint fingerprint_of(const Tokens& tokens) { return fingerprint(std::vector<Tokens>{tokens}); }

/// `count` tokens, the first half of them from `calibration`.
Tokens half_of(const Tokens& calibration, size_t count, uint64_t stream) {
  Tokens text(calibration.begin(), calibration.begin() + static_cast<std::ptrdiff_t>(count / 2));
  const Tokens fresh = random_tokens(count - count / 2, stream);
  text.insert(text.end(), fresh.begin(), fresh.end());
  return text;
}

TEST(ContainedShare, IsExactOfSmallTexts) {
  const Tokens calibration = random_tokens(1000, 0), text = half_of(calibration, 800, 1);
  ASSERT_TRUE(fingerprint_of(calibration).complete());
  EXPECT_EQ(fingerprint_of(calibration).grams, 985);
  const ContainedShare share = contained_share(fingerprint_of(calibration), text);
  EXPECT_EQ(share.share, exact_share(calibration, text));
  EXPECT_EQ(share.share, 385.0 / 785);  // 400 - 15 grams lie in the first half, 15 reach over its end
  EXPECT_EQ(share.standard_error, 0);
  EXPECT_EQ(share.compared, 785);
}

TEST(ContainedShare, IsOneOfTheTextItselfAndZeroOfAnother) {
  const Tokens calibration = random_tokens(100000, 0);
  const GramFingerprint known = fingerprint_of(calibration);
  EXPECT_FALSE(known.complete());
  EXPECT_EQ(known.hashes.size(), GramFingerprint::kMostHashes);
  const ContainedShare same = contained_share(known, calibration);
  EXPECT_EQ(same.share, 1);
  EXPECT_EQ(same.compared, 1024);
  const ContainedShare other = contained_share(known, random_tokens(100000, 1));
  EXPECT_EQ(other.share, 0);
  // n is binomial: about 1024 of 99985 grams lie below tau, with a deviation of sqrt(1024 + 1024) as tau varies too.
  EXPECT_NEAR(static_cast<double>(other.compared), 1024, 5 * std::sqrt(2048));
  EXPECT_LT(other.standard_error, 2.0 / 1024);
}

TEST(ContainedShare, OfHalfATextIsHalf) {
  const Tokens calibration = random_tokens(100000, 0), text = half_of(calibration, 60000, 1);
  const double exact = exact_share(calibration, text);
  EXPECT_NEAR(exact, 0.5, 16.0 / 60000);
  const ContainedShare share = contained_share(fingerprint_of(calibration), text);
  // About 614 of the text's grams are compared: sqrt(0.25 / 614) = 0.02. Five deviations err once in 1.7 million texts.
  EXPECT_NEAR(share.standard_error, 0.02, 0.002);
  EXPECT_NEAR(share.share, exact, 5 * share.standard_error);
}

TEST(ContainedShare, ErrsAsMuchAsItSays) {
  constexpr int kTrials = 200;
  double squares = 0;
  for (uint64_t trial = 0; trial < kTrials; ++trial) {
    const Tokens calibration = random_tokens(4000, 2 * trial), text = half_of(calibration, 4000, 2 * trial + 1);
    const ContainedShare share = contained_share(fingerprint_of(calibration), text);
    const double exact = 1985.0 / 3985;  // half of the text without the grams that reach over
    squares += std::pow((share.share - exact) / share.standard_error, 2);
  }
  // The sum of 200 squared standard deviates is chi-squared: mean 200, deviation sqrt(400). Five deviations.
  EXPECT_NEAR(squares, kTrials, 5 * std::sqrt(2.0 * kTrials));
}

TEST(ContainedShare, OfNothingIsNotCertain) {
  const GramFingerprint known = fingerprint_of(random_tokens(100000, 0));
  const ContainedShare none = contained_share(known, random_tokens(15, 1));
  EXPECT_EQ(none.grams, 0);
  EXPECT_EQ(none.share, 0);
  EXPECT_DOUBLE_EQ(none.standard_error, std::sqrt(1.0 / 12));  // of a uniform number
  EXPECT_EQ(contained_share(GramFingerprint{}, random_tokens(100, 1)).share, 0);
  EXPECT_EQ(contained_share(GramFingerprint{}, random_tokens(100, 1)).standard_error, 0);
}

TEST(Fingerprint, KnowsNoGramsAcrossSequencesAndNoneTwice) {
  const Tokens a = random_tokens(20, 0), b = random_tokens(15, 1);
  const GramFingerprint together = fingerprint(std::vector<Tokens>{a, b, a});
  EXPECT_EQ(together, fingerprint_of(a));
  EXPECT_EQ(together.grams, 5);
  EXPECT_EQ(fingerprint_of(Tokens(500, 7)).grams, 1);
}

TEST(Fingerprint, SurvivesJson) {
  for (const size_t count : {size_t{10}, size_t{100}, size_t{5000}}) {
    const GramFingerprint known = fingerprint_of(random_tokens(count, 0));
    EXPECT_EQ(fingerprint_from_json(parse_json(dump_json(to_json(known)), "t"), "t"), known);
  }
  // The hashes are part of files: SplitMix64's finalizer in plain Python gave this one.
  Tokens counting(16);
  for (size_t i = 0; i < 16; ++i) counting[i] = static_cast<int32_t>(i);
  EXPECT_EQ(to_json(fingerprint_of(counting))["hashes"].get<std::string>(), "6edb40fe61903123");
}

TEST(Fingerprint, RefusesWhatItDoesNotWrite) {
  const Json good = to_json(fingerprint_of(random_tokens(20, 0)));
  const auto refusal = [&](const std::string& key, const Json& value) {
    Json changed = good;
    changed[key] = value;
    return testing::message_of(ErrorKind::kRefused, [&] { fingerprint_from_json(changed, "t"); });
  };
  const std::string hashes = good["hashes"];
  EXPECT_EQ(refusal("gram_tokens", 8), "t: fingerprint: \"gram_tokens\" is 8, allowed: 16");
  EXPECT_EQ(refusal("grams", -1), "t: fingerprint: \"grams\" is no whole number");
  EXPECT_EQ(refusal("grams", 6), "t: fingerprint: 5 hashes of 6 grams, expected 6");
  EXPECT_EQ(refusal("hashes", 1), "t: fingerprint: \"hashes\" is no string");
  EXPECT_EQ(refusal("hashes", "12"), "t: fingerprint: 2 hex digits in \"hashes\", no multiple of 16");
  EXPECT_EQ(refusal("hashes", "000000000000000g"), "t: fingerprint: hash 0 of \"hashes\" is not 16 hex digits");
  EXPECT_EQ(refusal("hashes", hashes.substr(0, 16) + hashes.substr(0, 16)),
            "t: fingerprint: hash 1 of \"hashes\" is not above the one before");
  EXPECT_EQ(testing::message_of(ErrorKind::kRefused, [] { fingerprint_from_json(Json(1), "t"); }),
            "t: fingerprint: number, expected a JSON object");
}

}  // namespace
}  // namespace bitloom
