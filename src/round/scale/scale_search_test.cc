#include "round/scale/scale_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/rng.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

constexpr const char* kStorages[] = {"int2-g32",
                                     "int3-g32",
                                     "int4-g32",
                                     "int8-g32",
                                     "int4-g32-narrow",
                                     "int5-g32-bf16",
                                     "e2m1-g32",
                                     "e3m2-g32-f32",
                                     "nf4-g32",
                                     "iq4nl-g32",
                                     "fp4-bnb-g32",
                                     "nvfp4",
                                     "mxfp4",
                                     "int2-g32-asym",
                                     "int3-g32-asym",
                                     "int4-g32-asym-f32",
                                     "int8q6-narrow-g32",
                                     "e4m3fn-g32",
                                     "mxint8-rceil",
                                     "table[-1;0;1]-row",
                                     "table[0;1;3]-row",
                                     "int4-g32-tiesaway",
                                     "table[-1;-0.25;0.25;1]-row"};

/// Group number `index`: normal weights, of which some groups hold an outlier and some lie on one side.
std::vector<float> weights(uint64_t index, int64_t n = 32) {
  Rng rng(index, 5);
  std::vector<float> w;
  const double mean = index % 5 == 4 ? 1.5 : 0;
  for (int64_t i = 0; i < n; ++i) w.push_back(static_cast<float>(0.03 * (rng.normal() + mean)));
  if (index % 3 == 2) w[7] *= 6;
  return w;
}

std::vector<float> importances(uint64_t index, int64_t n = 32) {
  Rng rng(index, 6);
  std::vector<float> h;
  for (int64_t i = 0; i < n; ++i) h.push_back(static_cast<float>(std::exp(2 * rng.normal())));
  return h;
}

WeightGroup group_of(const std::vector<float>& w, const std::vector<float>* h = nullptr) {
  const auto n = static_cast<int64_t>(w.size());
  return {w.data(), 1, n, n, h == nullptr ? nullptr : h->data()};
}

GroupQuantizer quantizer_of(const std::string& target, float tensor_scale = 1) {
  const GridTarget parsed = parse_grid_target(target);
  // Two-level scales: a tensor of which the groups here are the greatest.
  return GroupQuantizer(parsed, parsed.storage.scale == ScaleType::kE4M3TwoLevel ? 1e-4f : tensor_scale);
}

double error_of(const GroupQuantizer& quantizer, const WeightGroup& group, const GroupScale& scale) {
  return quantizer.error(group, scale, 2, 1);
}

TEST(ScaleLanes, AreJudgedAsByDefinition) {
  for (const char* text : kStorages) {
    const GridTarget target = parse_grid_target(text);
    const std::vector<float> w = weights(3, 100), h = importances(3, 100);
    ScaleLanes fast, exact;
    for (size_t lane = 0; lane < kScaleLanes; ++lane) {
      const float reach = limits_of(target.storage.format).max, sign = lane % 2 == 0 ? 1.0f : -1.0f;
      fast.scale[lane] = (0.15f - 0.007f * static_cast<float>(lane)) / reach * (target.storage.asymmetric ? 1 : sign);
      fast.zero[lane] = target.storage.asymmetric ? static_cast<float>(lane % 4) : 0;
    }
    exact.scale = fast.scale, exact.zero = fast.zero;
    make_scale_judge(target.storage, target.search.ties)->judge(w.data(), h.data(), 100, false, fast);
    judge_by_definition(target.storage, w.data(), h.data(), 100, exact);
    double size = 0, levels = 0;  // what terms of sums amount to: w^2 h, q h
    for (size_t i = 0; i < 100; ++i)
      size += static_cast<double>(h[i]) * w[i] * w[i], levels += static_cast<double>(h[i]);
    for (size_t lane = 0; lane < kScaleLanes; ++lane) {
      // 100 terms, each of four roundings and the sum's, of 2^-24: at most 2^-17 of the terms' size.
      const double s = std::abs(static_cast<double>(fast.scale[lane])), q = limits_of(target.storage.format).max + 16;
      EXPECT_NEAR(fast.error[lane], exact.error[lane], 4 * size * 0x1p-17) << text << " " << lane;
      EXPECT_NEAR(s * fast.wq[lane], s * exact.wq[lane], 4 * size * 0x1p-17) << text << " " << lane;
      EXPECT_NEAR(s * s * fast.qq[lane], s * s * exact.qq[lane], 4 * size * 0x1p-17) << text << " " << lane;
      EXPECT_NEAR(fast.q[lane], exact.q[lane], q * levels * 0x1p-17) << text << " " << lane;
    }
  }
}

/// Of minifloats judge() finds the very levels that their encoder does, ties and weights out of reach included.
TEST(ScaleLanes, OfMinifloatsAreThoseOfTheEncoder) {
  for (const char* text :
       {"e1m2-row", "e2m1-row", "e3m0-row", "e3m2-row", "e4m3fn-row", "e4m3fnuz-row", "e5m2-ieee-row", "e2m5b-3-row"}) {
    const GridStorage storage = parse_grid(text);
    std::vector<float> w = weights(2, 100), h = importances(2, 100);
    for (const float level : grid_of(storage.format).levels) {
      for (const float y : {level, 1.5f * level, 1.25f * level, 1.0625f * level}) w.push_back(y), h.push_back(1);
    }
    ScaleLanes lanes;
    for (size_t lane = 0; lane < kScaleLanes; ++lane) {  // powers of two: all middles of levels
      lanes.scale[lane] = lane < 4 ? std::ldexp(1.0f, -static_cast<int>(lane)) : 0.01f * static_cast<float>(lane);
    }
    const auto n = static_cast<int64_t>(w.size());
    make_scale_judge(storage, Ties::kEven)->judge(w.data(), h.data(), n, false, lanes);
    const auto encoder = make_encoder(storage.format, Ties::kEven);
    for (size_t lane = 0; lane < kScaleLanes; ++lane) {
      const float scale = lanes.scale[lane], inverse = 1.0f / scale;
      float error = 0, wq = 0, qq = 0, sum = 0;
      for (size_t i = 0; i < w.size(); ++i) {
        float q = w[i] * inverse;
        encoder->snap(&q, 1, &q);
        const float d = w[i] - scale * q;
        error += h[i] * d * d, wq += h[i] * q * w[i], qq += h[i] * q * q, sum += h[i] * q;
      }
      EXPECT_EQ(lanes.error[lane], error) << text << " " << lane;
      EXPECT_EQ(lanes.wq[lane], wq) << text << " " << lane;
      EXPECT_EQ(lanes.qq[lane], qq) << text << " " << lane;
      EXPECT_EQ(lanes.q[lane], sum) << text << " " << lane;
    }
  }
}

/// That all weights count alike changes no bit of what a search reads.
TEST(ScaleLanes, OfWeightsThatCountAlikeAreTheSame) {
  for (const char* text : kStorages) {
    const GridTarget target = parse_grid_target(text);
    const std::vector<float> w = weights(4, 100), h(100, 1.0f);
    ScaleLanes any, alike;
    for (size_t lane = 0; lane < kScaleLanes; ++lane) {
      any.scale[lane] = (0.15f - 0.007f * static_cast<float>(lane)) / limits_of(target.storage.format).max;
      any.zero[lane] = target.storage.asymmetric ? static_cast<float>(lane % 4) : 0;
    }
    alike.scale = any.scale, alike.zero = any.zero;
    const auto judge = make_scale_judge(target.storage, target.search.ties);
    judge->judge(w.data(), h.data(), 100, false, any);
    judge->judge(w.data(), h.data(), 100, true, alike);
    EXPECT_EQ(alike.error, any.error) << text;
    EXPECT_EQ(alike.wq, any.wq) << text;
    EXPECT_EQ(alike.qq, any.qq) << text;
    if (target.storage.asymmetric) {
      EXPECT_EQ(alike.q, any.q) << text;
    }
  }
}

TEST(ScaleSearch, IsNeverWorseThanAbsmaxOrTheClipSearch) {
  for (const char* text : kStorages) {
    const GroupQuantizer searching = quantizer_of(std::string(text) + "-mse");
    const GroupQuantizer others[] = {quantizer_of(text), quantizer_of(std::string(text) + "-mse2"),
                                     quantizer_of(std::string(text) + "-mse2.4")};
    for (uint64_t index = 0; index < 150; ++index) {
      const std::vector<float> w = weights(index), h = importances(index);
      for (const WeightGroup& group : {group_of(w), group_of(w, &h)}) {
        const double mine = error_of(searching, group, searching.choose(group));
        for (const GroupQuantizer& other : others) {
          // Candidates are compared by fp32 sums of 32 terms: 2^-18 of the error.
          EXPECT_LE(mine, error_of(other, group, other.choose(group)) * (1 + 0x1p-18)) << text << " " << index;
        }
      }
    }
  }
}

/// The least squared error over scales that lie 0.05 % apart, of both signs, with every zero point.
double least_of_all(const GroupQuantizer& quantizer, const WeightGroup& group) {
  const GridStorage& storage = quantizer.target().storage;
  const WeightRange range = full_range(group);
  const float widest = 2 * quantizer.scale_for(range).stored;
  double least = 1e30;
  for (float stored = widest; stored > widest / 12; stored *= 0.9995f) {
    for (int zero = 0; zero <= (storage.asymmetric ? static_cast<int>(quantizer.max_code()) : 0); ++zero) {
      for (const float sign : {1.0f, -1.0f}) {
        if (sign < 0 && !quantizer.has_both_signs()) continue;
        const float value = sign * quantizer.round_to_stored(stored);
        const GroupScale scale{value, value * quantizer.tensor_scale(), static_cast<uint8_t>(zero), range};
        least = std::min(least, error_of(quantizer, group, scale));
      }
    }
  }
  return least;
}

TEST(ScaleSearch, ComesNearTheBestOfADenseSet) {
  struct Row {
    const char* text;
    double mean, most;  // by how much the search's error may exceed the dense set's
  };
  // The refits reach scales between those of the dense set. Scales wider than the greatest weight asks for, which some
  // importances want, are no candidates of integers; with zero points the search is a descent from many starts.
  for (const Row& row :
       {Row{"int2-g32", 1e-3, 0.01}, Row{"int3-g32", 1e-3, 0.01}, Row{"int4-g32", 0.01, 0.15},
        Row{"nf4-g32", 1e-3, 0.01}, Row{"iq4nl-g32", 1e-3, 0.01}, Row{"e2m1-g32", 1e-3, 0.01}, Row{"nvfp4", 1e-3, 0.01},
        Row{"int2-g32-asym", 0.01, 0.1}, Row{"int3-g32-asym", 0.02, 0.15}, Row{"int4-g32-asym", 0.02, 0.15}}) {
    const GroupQuantizer quantizer = quantizer_of(std::string(row.text) + "-mse");
    double sum = 0, most = 0;
    constexpr uint64_t kGroups = 20;
    for (uint64_t index = 0; index < kGroups; ++index) {
      const std::vector<float> w = weights(index), h = importances(index);
      const WeightGroup group = index % 2 == 0 ? group_of(w) : group_of(w, &h);
      const double excess = error_of(quantizer, group, quantizer.choose(group)) / least_of_all(quantizer, group) - 1;
      sum += excess, most = std::max(most, excess);
    }
    EXPECT_LE(sum / kGroups, row.mean) << row.text;
    EXPECT_LE(most, row.most) << row.text;
  }
}

TEST(ScaleSearch, NegatesWithTheWeights) {
  for (const char* text : kStorages) {
    const GroupQuantizer quantizer = quantizer_of(std::string(text) + "-mse");
    for (uint64_t index = 0; index < 40; ++index) {
      std::vector<float> w = weights(index), negated = w;
      for (float& x : negated) x = -x;
      const GroupScale scale = quantizer.choose(group_of(w)), of_negated = quantizer.choose(group_of(negated));
      const double error = error_of(quantizer, group_of(w), scale);
      if (quantizer.target().storage.asymmetric) {
        // Zero points in the middle of two are rounded to even, so the two searches may part there.
        EXPECT_NEAR(error_of(quantizer, group_of(negated), of_negated), error, 0.1 * error) << text << " " << index;
      } else if (quantizer.has_both_signs() && of_negated.stored == scale.stored) {
        // Where no weight has the level that only one side has, both signs are as good.
        EXPECT_EQ(error_of(quantizer, group_of(negated), of_negated), error) << text << " " << index;
      } else if (quantizer.has_both_signs()) {
        EXPECT_EQ(of_negated.stored, -scale.stored) << text << " " << index;
      } else if (std::string(text) != "table[0;1;3]-row") {  // its mirrored levels need a sign
        EXPECT_EQ(of_negated.stored, scale.stored) << text << " " << index;
      }
    }
  }
}

TEST(ScaleSearch, ScalesWithTheWeightsByPowersOfTwo) {
  for (const char* text : kStorages) {
    const bool two_level = parse_grid_target(text).storage.scale == ScaleType::kE4M3TwoLevel;
    if (two_level) continue;  // its scales are fractions of the tensor's
    const GroupQuantizer quantizer = quantizer_of(std::string(text) + "-mse");
    for (uint64_t index = 0; index < 40; ++index) {
      std::vector<float> w = weights(index), h = importances(index);
      const GroupScale scale = quantizer.choose(group_of(w, &h));
      for (float& x : w) x *= 8;
      for (float& x : h) x /= 4;
      const GroupScale other = quantizer.choose(group_of(w, &h));
      EXPECT_EQ(other.stored, 8 * scale.stored) << text << " " << index;
      EXPECT_EQ(other.zero, scale.zero) << text << " " << index;
    }
  }
}

/// What the sign and the search are worth on normal weights: 0.0088 by absmax, 0.0069 searched (int4 in groups of 32).
TEST(ScaleSearch, LowersTheErrorOfFullRangeIntegersByAFifth) {
  const DenseMatrix w = testing::normal_matrix(64, 512, 8);
  EXPECT_LT(testing::error_of(w, "int4-g32-mse"), 0.80 * testing::error_of(w, "int4-g32"));
  EXPECT_LT(testing::error_of(w, "int4-g32-mse"), 0.96 * testing::error_of(w, "int4-g32-mse2"));
}

TEST(ScaleSearch, TakesGroupsOfSeveralRows) {
  const std::vector<float> w = weights(11, 64), h = importances(11, 8);
  std::vector<float> repeated;
  for (int r = 0; r < 8; ++r) repeated.insert(repeated.end(), h.begin(), h.end());
  const GroupQuantizer quantizer = quantizer_of("int4-block8x8-mse");
  EXPECT_EQ(quantizer.choose({w.data(), 8, 8, 8, h.data()}).stored, quantizer.choose(group_of(w, &repeated)).stored);
}

/// A group whose importances are all zero, as of channels that no token used, is searched as if they were equal.
TEST(ScaleSearch, WithoutImportanceAllCountAlike) {
  const std::vector<float> w = weights(12), none(32, 0.0f);
  const GroupQuantizer quantizer = quantizer_of("int3-g32-mse");
  EXPECT_EQ(quantizer.choose(group_of(w, &none)).stored, quantizer.choose(group_of(w)).stored);
}

}  // namespace
}  // namespace bitloom
