// Every kernel of the list that this machine can run against the reference.

#include "kernels/cached_attention/cached_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <vector>

#include "kernels/cached_attention/reference.h"
#include "kernels/cached_attention/test_cache.h"

namespace bitloom {
namespace {

class CachedAttention : public ::testing::TestWithParam<CachedAttentionEntry> {};

/// By how much a score may err: each of n products and sums, the scales and the bias round by 2^-24 of what they are
/// part of, and so does the cap, whose tanh is off by 3e-7 of it. Queries of 16 bits are off by half a step of 127 *
/// 256.
double score_error(const CachedAttentionCall& call, KvFormat format, const ReferenceAttention& want) {
  const double rounded = format == KvFormat::kInt8 ? want.query_size / (2 * 127 * 256) : 0;
  return static_cast<double>(call.head_dim + 8) * 0x1p-24 * want.score_size + 6e-7 * call.softcap + rounded;
}

void expect_reference(const RandomCache& cache, KvFormat format) {
  const CachedAttentionCall& call = cache.call;
  for (int64_t g = 0; g < call.queries; ++g) {
    const ReferenceAttention want = cached_attention_reference(call, format, g);
    // e^x has 2e-7 and what its argument errs by; sums of n terms of one sign n 2^-24.
    const double relative = score_error(call, format, want) + 2e-7 + static_cast<double>(call.keys + 8) * 0x1p-24;
    // What values of 8 bits are multiplied by, their scale included, is off by 2^-16 of its greatest at most.
    const double rounded =
        format == KvFormat::kInt8 ? static_cast<double>(call.keys) * 0x1p-16 * want.greatest * (1 + relative) : 0;
    const auto i = static_cast<size_t>(g);
    ASSERT_NEAR(cache.most[i] + std::log(cache.sum[i]), want.log_sum, relative + 0x1p-23 * std::abs(want.log_sum));
    for (int64_t c = 0; c < call.value_dim; ++c) {
      const float value = cache.values[static_cast<size_t>(g * padded_channels(call.value_dim) + c)];
      // Numerator and denominator each err by that much of the sum of their terms' sizes.
      ASSERT_NEAR(value / cache.sum[i], want.values[static_cast<size_t>(c)], (2 * relative + rounded) * want.size)
          << call.keys << " keys, " << call.head_dim << " channels, query " << g;
    }
  }
}

TEST_P(CachedAttention, EveryShape) {
  const CachedAttentionEntry& entry = GetParam();
  for (const int64_t keys : {1, 2, 3, 4, 5, 17, 63, 64, 65, 130}) {
    for (const int64_t dim : {1, 6, 8, 15, 16, 33, 64, 80, 96, 128, 300}) {
      RandomCache cache(entry.format, keys, 1 + (keys + dim) % 9, dim, dim % 2 == 0 ? dim : dim + 3);
      entry.kernel(cache.call);
      expect_reference(cache, entry.format);
    }
  }
}

// More than pass the keys together.
TEST_P(CachedAttention, ManyQueries) {
  for (const int64_t queries : {15, 16, 17, 37}) {
    RandomCache cache(GetParam().format, 70, queries, 20, 24);
    GetParam().kernel(cache.call);
    expect_reference(cache, GetParam().format);
  }
}

// What is read next is asked for, and changes nothing: any bytes, also of other memory.
TEST_P(CachedAttention, BytesToReadNextChangeNothing) {
  for (const int64_t queries : {1, 5}) {
    RandomCache cache(GetParam().format, 150, queries, 64, 80);
    GetParam().kernel(cache.call);
    const auto values = cache.values, sum = cache.sum;
    const std::vector<std::byte> other(4001);
    cache.start();
    cache.call.next_k = {other.data(), 4001}, cache.call.next_v = {other.data() + 13, 70};
    GetParam().kernel(cache.call);
    EXPECT_EQ(cache.values, values);
    EXPECT_EQ(cache.sum, sum);
  }
}

TEST_P(CachedAttention, CapsBiasesAndSizes) {
  const CachedAttentionEntry& entry = GetParam();
  const std::vector<float> slopes = {0.5f, 0.0f, 0.01f, 0.25f, 0.125f};
  for (const float softcap : {0.0f, 5.0f, 50.0f}) {
    for (const bool biased : {false, true}) {
      for (const float largest : {1e-30f, 1.0f, 1e30f}) {
        if (entry.format == KvFormat::kFp16 && largest != 1) continue;
        RandomCache cache(entry.format, 77, 5, 40, 40, largest);
        cache.call.softcap = softcap, cache.call.distance = -76;
        if (biased) cache.call.slopes = slopes.data();
        entry.kernel(cache.call);
        expect_reference(cache, entry.format);
      }
    }
  }
}

// Scores so far apart that the first, or all but the last, count for nothing.
TEST_P(CachedAttention, LargeScoresDoNotOverflow) {
  for (const float scale : {400.0f, -400.0f}) {
    RandomCache cache(GetParam().format, 100, 3, 64, 64);
    cache.call.scale = scale;
    GetParam().kernel(cache.call);
    for (int64_t g = 0; g < 3; ++g) {
      const ReferenceAttention want = cached_attention_reference(cache.call, GetParam().format, g);
      EXPECT_NEAR(cache.most[static_cast<size_t>(g)], want.log_sum, 1e-4 * std::abs(want.log_sum));
      EXPECT_GE(cache.sum[static_cast<size_t>(g)], 1.0f);
    }
  }
}

TEST_P(CachedAttention, GoesOnAfterKeysBefore) {
  const CachedAttentionEntry& entry = GetParam();
  for (const int64_t first : {1, 30, 64, 99}) {
    RandomCache cache(entry.format, 150, 6, 48, 48);
    const CachedAttentionCall whole = cache.call;
    const std::vector<float> slopes = {0.5f, 0.0f, 0.01f, 0.25f, 0.125f, 0.1f};
    cache.call.slopes = slopes.data(), cache.call.distance = -149;
    CachedAttentionCall part = cache.call;
    part.keys = first;
    entry.kernel(part);
    part.k += first * part.k_stride, part.v += first * part.v_stride;
    part.keys = whole.keys - first, part.distance += first;
    entry.kernel(part);
    expect_reference(cache, entry.format);
  }
}

TEST_P(CachedAttention, AQueryHasTheSameBitsAlone) {
  RandomCache cache(GetParam().format, 150, 7, 80, 80);
  GetParam().kernel(cache.call);
  const auto together = cache.values, sum = cache.sum, most = cache.most;
  cache.start();
  for (int64_t g = 0; g < 7; ++g) {
    CachedAttentionCall one = cache.call;
    one.queries = 1, one.q += g * padded_channels(80), one.values += g * padded_channels(80);
    one.most += g, one.sum += g;
    GetParam().kernel(one);
  }
  EXPECT_EQ(cache.values, together);
  EXPECT_EQ(cache.sum, sum);
  EXPECT_EQ(cache.most, most);
}

TEST_P(CachedAttention, NanShows) {
  for (const bool in_key : {true, false}) {
    RandomCache cache(GetParam().format, 100, 5, 64, 64);
    std::vector<float> head(64, std::nanf(""));
    auto& memory = in_key ? cache.k : cache.v;
    const int64_t head_bytes = kv_head_bytes(GetParam().format, 64);
    write_kv_head(GetParam().format, head.data(), 64, memory.data() + (2 * 41 + 1) * head_bytes);
    GetParam().kernel(cache.call);
    for (const float value : cache.values) EXPECT_TRUE(std::isnan(value));
  }
}

TEST_P(CachedAttention, NanInAQueryShowsInItAlone) {
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    for (const int64_t channels : {1, 51}) {
      RandomCache cache(GetParam().format, 100, 3, 64, 64);
      std::fill_n(cache.q.begin() + 64 + 13, channels, bad);
      GetParam().kernel(cache.call);
      for (int64_t i = 0; i < 3 * 64; ++i) {
        EXPECT_EQ(std::isnan(cache.values[static_cast<size_t>(i)]), i / 64 == 1) << i;
      }
    }
  }
}

// No score is finite: there is no softmax, whatever a kernel puts behind the last key.
TEST_P(CachedAttention, ScoresOfMinusInfinityAloneGiveNan) {
  const KvFormat format = GetParam().format;
  for (const int64_t keys : {1, 16, 17}) {
    RandomCache cache(format, keys, 3, 64, 64);
    for (int64_t j = 0; j < keys; ++j) {
      std::byte* at = cache.k.data() + j * cache.call.k_stride + kv_head_bytes(format, 64);  // of the last of 2 heads
      std::vector<float> head(64);
      read_kv_head(format, at, 64, head.data());
      head[13] = 1;
      write_kv_head(format, head.data(), 64, at);
    }
    cache.q[64 + 13] = -std::numeric_limits<float>::infinity();
    GetParam().kernel(cache.call);
    for (size_t i = 0; i < 3 * 64; ++i) {
      EXPECT_EQ(std::isnan(cache.values[i] / cache.sum[i / 64]), i / 64 == 1) << keys << " keys, " << i;
    }
  }
}

std::vector<CachedAttentionEntry> kernels_of_this_machine() {
  std::vector<CachedAttentionEntry> entries;
  std::copy_if(cached_attention_kernels().begin(), cached_attention_kernels().end(), std::back_inserter(entries),
               [](const CachedAttentionEntry& entry) { return machine_has(entry.isa); });
  return entries;
}
INSTANTIATE_TEST_SUITE_P(List, CachedAttention, ::testing::ValuesIn(kernels_of_this_machine()),
                         [](const auto& param_info) { return std::string(param_info.param.name); });

TEST(FindCachedAttention, TheAskedIsaOrTheNextLower) {
  for (const KvFormat format : every_kv_format()) {
    EXPECT_EQ(find_cached_attention(Isa::kPortable, format).isa, Isa::kPortable);
    EXPECT_EQ(find_cached_attention(every_isa().back(), format).format, format);
  }
}

TEST(KvFormats, NamesAndBytes) {
  for (const KvFormat format : every_kv_format()) EXPECT_EQ(find_kv_format(name_of(format)), format);
  EXPECT_EQ(find_kv_format("int4"), std::nullopt);
  EXPECT_EQ(kv_head_bytes(KvFormat::kFp32, 64), 256);
  EXPECT_EQ(kv_head_bytes(KvFormat::kBf16, 64), 128);
  EXPECT_EQ(kv_head_bytes(KvFormat::kInt8, 64), 68);
  EXPECT_EQ(kv_head_bytes(KvFormat::kFp8, 64), 68);
}

std::vector<float> through(KvFormat format, const std::vector<float>& x) {
  std::vector<std::byte> kept(static_cast<size_t>(kv_head_bytes(format, static_cast<int64_t>(x.size()))));
  std::vector<float> out(x.size());
  write_kv_head(format, x.data(), static_cast<int64_t>(x.size()), kept.data());
  read_kv_head(format, kept.data(), static_cast<int64_t>(x.size()), out.data());
  return out;
}

TEST(KvFormats, RoundToNearest) {
  const std::vector<float> x = {127.0f, -3.4f, 2.5f, 3.5f, 0.0f, -127.0f};
  EXPECT_EQ(through(KvFormat::kFp32, x), x);
  EXPECT_EQ(through(KvFormat::kInt8, x), (std::vector<float>{127, -3, 2, 4, 0, -127}));
  EXPECT_EQ(through(KvFormat::kFp16, {0.1f})[0], 0x1.998p-4f);
  EXPECT_EQ(through(KvFormat::kBf16, {0.1f})[0], 0x1.9ap-4f);
}

/// Levels of E4M3 that are not negative, by their code: (1 + m / 8) 2^(e - 7), without an exponent m / 8 2^-6.
std::vector<float> levels_of_e4m3() {
  std::vector<float> levels;
  for (int code = 0; code < 127; ++code) {
    const int e = code / 8, m = code % 8;
    levels.push_back(std::ldexp(static_cast<float>(e == 0 ? m : 8 + m), std::max(e, 1) - 10));
  }
  return levels;
}

// Beside 448 the scale is 1: levels are kept, and between two of them the nearer, or the one with an even code.
TEST(KvFormats, Fp8RoundsToTheNearestLevel) {
  const std::vector<float> levels = levels_of_e4m3();
  EXPECT_EQ(levels.back(), 448.0f);
  std::vector<float> x = {448.0f}, want = {448.0f};
  for (size_t code = 0; code < levels.size(); ++code) {
    x.push_back(levels[code]), want.push_back(levels[code]);
    if (code + 1 == levels.size()) break;
    const float middle = (levels[code] + levels[code + 1]) / 2;
    x.push_back(middle), want.push_back(levels[code + code % 2]);
    x.push_back(std::nextafter(middle, 0.0f)), want.push_back(levels[code]);
    x.push_back(std::nextafter(middle, 448.0f)), want.push_back(levels[code + 1]);
  }
  EXPECT_EQ(through(KvFormat::kFp8, x), want);
  for (float& value : x) value = -value;
  for (float& value : want) value = -value;
  EXPECT_EQ(through(KvFormat::kFp8, x), want);
}

TEST(KvFormats, Fp8OfEverySize) {
  for (const float size : {1e-34f, 1e-3f, 1.0f, 3e38f}) {
    const std::vector<float> x = {size, -0.3f * size, 0.7f * size, 0.01f * size, -1e-4f * size};
    const std::vector<float> y = through(KvFormat::kFp8, x);
    for (size_t i = 0; i < x.size(); ++i) {  // half a step: 2^-4 of a level, or 2^-10 of the scale
      EXPECT_NEAR(y[i] / size, x[i] / size, std::max(1.0001 * 0x1p-4 * std::abs(x[i] / size), 0x1p-10 / 448));
    }
  }
  EXPECT_EQ(through(KvFormat::kFp8, {1e-37f, -1e-41f}), (std::vector<float>{0, 0}));
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    for (const float y : through(KvFormat::kFp8, {1, bad, 2})) EXPECT_TRUE(std::isnan(y));
  }
}

TEST(KvFormats, IntegersOfEverySize) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float size : {1e-35f, 1e-3f, 1.0f, 3e38f}) {
    const std::vector<float> x = {size, -0.3f * size, 0.7f * size};
    const std::vector<float> y = through(KvFormat::kInt8, x);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(y[i] / size, x[i] / size, 0.5001 / 127);
  }
  EXPECT_EQ(through(KvFormat::kInt8, {1e-40f, -1e-41f}), (std::vector<float>{0, 0}));
  for (const float bad : {infinity, -infinity, std::nanf("")}) {
    for (const float y : through(KvFormat::kInt8, {1, bad, 2})) EXPECT_TRUE(std::isnan(y));
  }
}

}  // namespace
}  // namespace bitloom
