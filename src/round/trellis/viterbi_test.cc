#include "round/trellis/viterbi.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace bitloom {
namespace {

std::vector<float> normal_tile(const TrellisCode& code, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, static_cast<float>(code.units()));
  std::vector<float> x(kTrellisTile);
  for (float& value : x) value = normal(random);
  return x;
}

double error_of(const TrellisCode& code, const std::vector<float>& x, const std::vector<uint16_t>& words) {
  int16_t decoded[kTrellisTile];
  decode_trellis_tile(code, words.data(), 1, decoded);
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += std::pow(static_cast<double>(x[i]) - decoded[i], 2);
  return sum;
}

double encoded_error(const TrellisCode& code, const TrellisSearchEntry& kernel, const std::vector<float>& x) {
  std::vector<uint16_t> words(static_cast<size_t>(code.words()));
  TrellisEncoder(code, kernel).encode(x.data(), words.data());
  return error_of(code, x, words);
}

const TrellisSearchEntry& best_kernel() { return find_trellis_search(best_isa()); }

TEST(Viterbi, ReferenceFindsWhatWasEncoded) {
  for (const TrellisCode& code : {TrellisCode{2, 4, 12}, {1, 5, 12}, {2, 7, 12}, {1, 10, 12}}) {
    std::vector<uint16_t> words(static_cast<size_t>(code.words())), found(words.size());
    std::mt19937 random(7);
    for (uint16_t& word : words) word = static_cast<uint16_t>(random());
    int16_t decoded[kTrellisTile];
    decode_trellis_tile(code, words.data(), 1, decoded);
    const std::vector<float> x(decoded, decoded + kTrellisTile);
    encode_trellis_reference(code, x.data(), found.data());
    EXPECT_EQ(error_of(code, x, found), 0) << code.values << " values, " << code.half_bits << " half bits";
  }
}

TEST(Viterbi, ReferenceCountsTheErrorThatDecodingShows) {
  const TrellisCode code{2, 3, 12};
  const std::vector<float> x = normal_tile(code, 3);
  std::vector<uint16_t> words(static_cast<size_t>(code.words()));
  const double cost = encode_trellis_around(code, x.data(), 5, words.data());
  EXPECT_NEAR(cost, error_of(code, x, words), 1e-9 * cost);
  EXPECT_EQ(words.back() & 0x1ff, 5) << "the tile ends with the bits before its first step";
}

// The optimum over all seams, each by a search of its own, is what two passes come near: the page's .3 % on average.
TEST(Viterbi, TwoPassesComeNearTheBestOfAllSeams) {
  const TrellisCode code{2, 4, 12};
  double found = 0, best = 0;
  for (uint32_t seed = 0; seed < 3; ++seed) {
    const std::vector<float> x = normal_tile(code, seed);
    std::vector<uint16_t> words(static_cast<size_t>(code.words()));
    encode_trellis_reference(code, x.data(), words.data());
    found += error_of(code, x, words);
    double least = 1e30;
    for (uint32_t seam = 0; seam < 256; ++seam) {
      least = std::min(least, encode_trellis_around(code, x.data(), seam, words.data()));
    }
    best += least;
  }
  EXPECT_GE(found, best * (1 - 1e-12));
  EXPECT_LE(found, best * 1.003);
}

TEST(Viterbi, IntegersLoseLittleToTheReference) {
  for (const TrellisCode& code : {TrellisCode{2, 2, 12}, {2, 4, 12}, {1, 5, 12}, {1, 8, 12}, {1, 10, 12}}) {
    double integers = 0, reference = 0;
    for (uint32_t seed = 0; seed < 4; ++seed) {
      const std::vector<float> x = normal_tile(code, seed);
      std::vector<uint16_t> words(static_cast<size_t>(code.words()));
      encode_trellis_reference(code, x.data(), words.data());
      reference += error_of(code, x, words);
      integers += encoded_error(code, best_kernel(), x);
    }
    // A step's cost of 32 on average is rounded to 1.
    EXPECT_LE(integers, 1.005 * reference) << code.values << " values, " << code.half_bits << " half bits";
  }
}

// Few bits a step and many, with a target beyond the table and many that are equal.
TEST(Viterbi, EveryKernelGivesTheSameBits) {
  for (const TrellisCode& code : {TrellisCode{2, 2, 12},
                                  {2, 4, 12},
                                  {2, 5, 12},
                                  {1, 3, 12},
                                  {1, 5, 12},
                                  {1, 7, 12},
                                  {1, 10, 12},
                                  {2, 4},
                                  {1, 7}}) {
    std::vector<float> x = normal_tile(code, 11);
    x[9] = 1e6f;
    std::fill_n(x.begin() + 40, 30, 0.0f);
    std::vector<uint16_t> words(static_cast<size_t>(code.words())), expected;
    for (const TrellisSearchEntry& entry : trellis_search_kernels()) {
      if (!machine_has(entry.isa)) continue;
      TrellisEncoder(code, entry).encode(x.data(), words.data());
      if (expected.empty()) expected = words;
      EXPECT_EQ(words, expected) << entry.name << ", " << code.values << " values, " << code.half_bits << " half bits";
    }
  }
}

struct Rate {
  TrellisCode code;
  double error;  // of the page's table 1.6, of a source of variance 1
};

// At 5 bits the page has .0011; the definition (encode_trellis_reference) gives .0012, whatever the unit.
// 48 tiles are 12288 values, of which the mean square of a normal error is known to 1.3 %; four times that.
TEST(Viterbi, ErrorOfANormalSourceIsThePages) {
  for (const Rate& rate : {Rate{{2, 2}, .266},
                           {{2, 3}, .132},
                           {{2, 4}, .0671},
                           {{1, 4}, .0669},
                           {{1, 5}, .0336},
                           {{1, 6}, .0169},
                           {{1, 7}, .0086},
                           {{1, 8}, .0044},
                           {{1, 10}, .00119}}) {
    double error = 0;
    constexpr int kTiles = 48;
    for (uint32_t seed = 0; seed < kTiles; ++seed) {
      error += encoded_error(rate.code, best_kernel(), normal_tile(rate.code, 100 + seed));
    }
    const double mean = error / (kTiles * kTrellisTile) / (rate.code.units() * rate.code.units());
    EXPECT_NEAR(mean / rate.error, 1, 0.052) << rate.code.values << " values, " << rate.code.half_bits << " half bits";
  }
}

// One weight far beyond the table must not use up the range of costs, or the others' are lost.
TEST(Viterbi, AWeightBeyondTheTableCostsTheOthersLittle) {
  for (const TrellisCode& code :
       {TrellisCode{2, 2, 12}, {2, 4, 12}, {1, 5, 12}, {1, 6, 12}, {1, 7, 12}, {1, 8, 12}, {1, 10, 12}}) {
    for (const double sigmas : {3.0, 4.0, 4.8}) {
      std::vector<float> x = normal_tile(code, 5);
      x[100] = static_cast<float>(sigmas * code.units());
      std::vector<uint16_t> words(static_cast<size_t>(code.words()));
      encode_trellis_reference(code, x.data(), words.data());
      // Costs that are rounded, as without the outlier, and that the outlier counts as less far away than it is.
      EXPECT_LE(encoded_error(code, best_kernel(), x), 1.05 * error_of(code, x, words))
          << code.values << " values, " << code.half_bits << " half bits, " << sigmas << " deviations";
    }
  }
}

TEST(Viterbi, TargetsBeyondTheTableAreEncoded) {
  for (const TrellisCode& code : {TrellisCode{2, 4}, {1, 6}}) {
    std::vector<float> x(kTrellisTile, 0.0f);
    x[17] = 1e6f, x[200] = -1e6f;
    std::vector<uint16_t> words(static_cast<size_t>(code.words()));
    TrellisEncoder(code, best_kernel()).encode(x.data(), words.data());
    int16_t decoded[kTrellisTile];
    decode_trellis_tile(code, words.data(), 1, decoded);
    EXPECT_GT(decoded[17], 90);
    EXPECT_LT(decoded[200], -90);
  }
}

}  // namespace
}  // namespace bitloom
