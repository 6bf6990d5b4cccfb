#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/test_data.h"
#include "eval/divergence.h"
#include "eval/logits/fake_source.h"
#include "eval/reference/format.h"
#include "eval/reference/test_reference.h"

namespace bitloom {
namespace {

using testing::FakeSource;
using ::testing::HasSubstr;
using testing::message_of;
using testing::random_source;
using testing::random_windows;

constexpr double kStep = kReferenceRange / kReferenceLastCode;
constexpr double kError = 2 * kStep;  // of one log-probability, as the header derives it

struct Fixture : testing::ReferencePlace {
  Fixture() : ReferencePlace(random_windows(3, 90, 20, 61)) {}

  void write(LogitsSource& model) { write_reference(path, model, windows, "tok-hash", "text-hash", context); }
  std::unique_ptr<LogitsSource> open() { return open_reference(path, windows, "tok-hash", "text-hash"); }
  DivergenceResult compare(LogitsSource& reference, LogitsSource& model) {
    return divergence(reference, model, windows, context);
  }
};

std::vector<float> decoded(const std::vector<float>& row, int64_t target) {
  std::vector<std::byte> bytes(reference_header(static_cast<int64_t>(row.size()), {}, "", "").row_bytes());
  encode_reference_row(row, target, bytes.data());
  std::vector<float> out(row.size());
  EXPECT_TRUE(decode_reference_row(bytes.data(), target, out));
  return out;
}

TEST(ReferenceRow, LogProbabilitiesAreWithinTheStatedError) {
  for (const double spread : {0.001, 1.0, 4.0, 7.0}) {
    Rng rng(3, 0);
    std::vector<float> row(5001);
    for (float& x : row) x = static_cast<float>(spread * rng.normal());
    const std::vector<long double> slow = testing::slow_log_softmax(row);
    const long double top = *std::max_element(slow.begin(), slow.end());
    const std::vector<float> back = decoded(row, 17);
    long double mass = 0, worst = 0;
    for (size_t v = 0; v < row.size(); ++v) {
      mass += std::exp(static_cast<long double>(back[v]));
      if (slow[v] > top - kReferenceRange) worst = std::max(worst, std::abs(slow[v] - back[v]));
    }
    EXPECT_LE(worst, kError);
    // `top` and every log-probability round to fp32 below 64: 2^-19 each.
    EXPECT_NEAR(static_cast<double>(mass), 1, 2 * 0x1p-19);
  }
}

TEST(ReferenceRow, TheMostLikelyTokenStaysTheOnlyOne) {
  std::vector<float> row(100, -5.0f);
  row[40] = 2.0f;
  row[20] = 2.0f - 1e-6f;  // far closer than a step
  row[60] = 2.0f;          // an exact tie: the lower id stands
  const std::vector<float> back = decoded(row, 0);
  EXPECT_EQ(std::max_element(back.begin(), back.end()) - back.begin(), 40);
  EXPECT_GT(back[40], back[20]);
  EXPECT_GT(back[40], back[60]);
}

TEST(ReferenceRow, UniformRowDecodesToItself) {
  const std::vector<float> back = decoded(std::vector<float>(64, 3.0f), 5);
  for (const float x : back) EXPECT_NEAR(x, -std::log(64.0f), 1e-6);  // fp32 near 4: 2^-22, twice
}

TEST(ReferenceRow, TokensFarBelowHaveNoProbabilityButTheTargetKeepsItsLoss) {
  std::vector<float> row(50, -1e30f);
  row[7] = 1.0f;
  row[8] = 0.0f;
  row[9] = -45.5f;
  const std::vector<float> back = decoded(row, 9);
  const double log_z = std::log1p(std::exp(-1.0));
  EXPECT_NEAR(back[7], -log_z, kError);
  EXPECT_NEAR(back[8], -1 - log_z, kError);
  EXPECT_NEAR(back[9], -46.5 - log_z, 46.5 * 0x1p-23);
  EXPECT_EQ(std::exp(static_cast<double>(back[0])), 0);
  EXPECT_TRUE(std::isfinite(back[0]));
  EXPECT_EQ(std::exp(static_cast<double>(decoded(row, 8)[9])), 0);
}

TEST(ReferenceRow, OddVocabularyIsPadded) {
  ReferenceHeader header;
  header.vocab = 3;
  EXPECT_EQ(header.row_bytes(), 12u + 8u);
  header.vocab = 4;
  EXPECT_EQ(header.row_bytes(), 12u + 8u);
}

// One row at a time, so that each position's own bound is tested:
// |KL' - KL| <= (e^E - 1) A + E^2 / 2 + V e^-32 (L + 1), where logits lie within +-20 here, so L < 50.
TEST(ReferenceFile, DivergenceFromTheFileIsWithinTheStatedBoundOfTheDirectOne) {
  for (const double noise : {0.01, 0.3, 3.0}) {
    Fixture f;
    FakeSource reference = random_source(61, 4), model = random_source(61, 4, noise, 5);
    f.write(reference);
    const std::unique_ptr<LogitsSource> file = f.open();
    double total = 0, total_bound = 0;
    for (const TextWindows::Window& window : f.windows.windows) {
      const std::span<const int32_t> inputs = std::span(window.tokens).first(window.tokens.size() - 1);
      file->run(inputs);
      reference.run(inputs);
      model.run(inputs);
      for (int64_t at = window.first_scored - 1; at < 89; ++at) {
        std::vector<float> p(61), q(61), stored(61);
        reference.logits(at, 1, p.data());
        model.logits(at, 1, q.data());
        file->logits(at, 1, stored.data());
        long double absolute = 0;
        const long double direct = testing::slow_kl(p, q, &absolute), from_file = testing::slow_kl(stored, q);
        const double bound = std::expm1(kError) * static_cast<double>(absolute) + kError * kError / 2 +
                             61 * std::exp(-kReferenceRange) * 51;
        EXPECT_LE(std::abs(from_file - direct), bound) << "position " << at << ", noise " << noise;
        total += static_cast<double>(direct), total_bound += bound;
      }
    }
    const DivergenceResult out = f.compare(*file, model);
    EXPECT_NEAR(out.kl_mean, total / 210, total_bound / 210);
    const DivergenceResult direct = f.compare(reference, model);
    EXPECT_EQ(out.top1, direct.top1);
    EXPECT_NEAR(out.nll_ref, direct.nll_ref, kError);
    EXPECT_EQ(out.nll, direct.nll);
  }
}

TEST(ReferenceFile, DivergenceOfAModelFromItsOwnFileIsNearlyZero) {
  Fixture f;
  FakeSource model = random_source(61, 4);
  f.write(model);
  const std::unique_ptr<LogitsSource> file = f.open();
  EXPECT_EQ(file->vocab_size(), 61);
  const DivergenceResult out = f.compare(*file, model);
  EXPECT_LE(out.kl_max, kError * kError / 2);
  EXPECT_LE(out.kl_mean, kStep * kStep / 8);  // errors uniform in a step: step^2 / 24 is expected
  EXPECT_EQ(out.top1, 1);
}

TEST(ReferenceFile, BytesDoNotDependOnThreads) {
  Fixture f;
  FakeSource model = random_source(61, 4);
  f.write(model);
  const std::string two = f.bytes();
  ThreadPool five(5);
  Context context{five, f.silent};
  write_reference(f.path, model, f.windows, "tok-hash", "text-hash", context);  // replaces its own kind
  EXPECT_EQ(f.bytes(), two);
  EXPECT_FALSE(std::filesystem::exists(f.path + ".partial"));
}

TEST(ReferenceFile, ServesWindowsInAnyOrderAndOnlyTheirScoredPositions) {
  Fixture f;
  FakeSource model = random_source(61, 4);
  f.write(model);
  const std::unique_ptr<LogitsSource> file = f.open();
  std::vector<float> row(61), expected(61);
  EXPECT_THAT(message_of(ErrorKind::kFailed, [&] { file->logits(19, 1, row.data()); }), HasSubstr("no window was run"));
  for (const size_t w : {2u, 0u, 1u, 1u}) {
    const std::span<const int32_t> inputs = std::span(f.windows.windows[w].tokens).first(89);
    file->run(inputs);
    model.run(inputs);
    file->logits(88, 1, row.data());
    model.logits(88, 1, expected.data());
    EXPECT_NEAR(row[5], static_cast<double>(testing::slow_log_softmax(expected)[5]), kError);
  }
  EXPECT_THAT(message_of(ErrorKind::kFailed, [&] { file->logits(18, 1, row.data()); }), HasSubstr("holds 19..88"));
  EXPECT_THAT(message_of(ErrorKind::kFailed, [&] { file->logits(88, 2, row.data()); }), HasSubstr("positions 88..89"));
  const std::vector<int32_t> other(89, 1);
  EXPECT_THAT(message_of(ErrorKind::kFailed, [&] { file->run(other); }),
              HasSubstr("holds no window with the 89 tokens"));
}

TEST(ReferenceFile, IsRecognisedByItsMagic) {
  Fixture f;
  EXPECT_FALSE(is_reference_file(f.path));
  EXPECT_FALSE(is_reference_file(f.dir.path()));
  f.put("bitloom");
  EXPECT_FALSE(is_reference_file(f.path));
  FakeSource model = random_source(61, 1);
  EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { f.write(model); }), HasSubstr("it is not overwritten"));
  std::filesystem::remove(f.path);
  f.write(model);
  EXPECT_TRUE(is_reference_file(f.path));
}

TEST(ReferenceFile, OtherTokenizerTextOrWindowsAreRefusedByName) {
  Fixture f;
  FakeSource model = random_source(61, 1);
  f.write(model);
  const auto open = [&](const TextWindows& windows, const char* tokenizer, const char* text) {
    return message_of(ErrorKind::kRefused, [&] { open_reference(f.path, windows, tokenizer, text); });
  };
  EXPECT_EQ(open(f.windows, "other", "text-hash"), f.path + ": made with tokenizer tok-hash, asked for with other");
  EXPECT_EQ(open(f.windows, "tok-hash", "other"), f.path + ": made with text text-hash, asked for with other");
  TextWindows moved = f.windows;
  moved.windows[1].first_scored += 1;
  moved.scored_tokens -= 1;
  EXPECT_THAT(open(moved, "tok-hash", "text-hash"), HasSubstr("made on other windows: random windows ("));
  TextWindows changed = f.windows;
  changed.windows[2].tokens[3] ^= 1;
  const std::string message = open(changed, "tok-hash", "text-hash");
  const std::string ours = reference_header(61, changed, "", "").windows_hash;
  const std::string theirs = reference_header(61, f.windows, "", "").windows_hash;
  EXPECT_THAT(message, HasSubstr(ours));
  EXPECT_THAT(message, HasSubstr(theirs));
}

TEST(ReferenceFile, EveryTruncationIsRefused) {
  Fixture f;
  f.windows = random_windows(2, 6, 3, 9);
  FakeSource model = random_source(9, 1);
  f.write(model);
  const std::string whole = f.bytes();
  ASSERT_EQ(whole.size() % 4, 0u);
  for (size_t size = 0; size < whole.size(); ++size) {
    f.put(whole.substr(0, size));
    const std::string message = message_of(ErrorKind::kRefused, [&] { f.open(); });
    EXPECT_THAT(message, HasSubstr(f.path)) << size;
    EXPECT_THAT(message, size < 8 ? HasSubstr("no bitloom reference file") : HasSubstr("truncated")) << size;
  }
  f.put(whole + "x");
  EXPECT_THAT(message_of(ErrorKind::kRefused, [&] { f.open(); }), HasSubstr("truncated or overlong"));
}

TEST(ReferenceFile, LyingHeadersAreRefused) {
  Fixture f;
  FakeSource model = random_source(61, 1);
  f.write(model);
  const std::string whole = f.bytes();
  const auto with = [&](size_t offset, auto value) {
    std::string bytes = whole;
    std::memcpy(bytes.data() + offset, &value, sizeof value);
    f.put(bytes);
    return message_of(ErrorKind::kRefused, [&] { f.open(); });
  };
  EXPECT_THAT(with(8, uint32_t{3}), HasSubstr("version 3 (this program reads 1 and 2)"));
  EXPECT_THAT(with(12, uint32_t{0}), HasSubstr("rows at offset 0"));
  EXPECT_THAT(with(12, ~uint32_t{0}), HasSubstr("rows at offset 4294967295"));
  EXPECT_THAT(with(16, uint64_t{0}), HasSubstr("vocabulary 0"));
  EXPECT_THAT(with(16, ~uint64_t{0}), HasSubstr("vocabulary 18446744073709551615"));
  EXPECT_THAT(with(16, uint64_t{60}), HasSubstr("truncated or overlong"));
  EXPECT_THAT(with(24, uint64_t{4}), HasSubstr("made on other windows"));
  EXPECT_THAT(with(32, uint64_t{1} << 62), HasSubstr("truncated or overlong"));
  EXPECT_THAT(with(40, ~uint32_t{0}), HasSubstr("tokenizer hash of 4294967295 bytes"));
  EXPECT_THAT(with(40, uint32_t{4000}), HasSubstr("text hash of "));  // rows read as a length
}

TEST(ReferenceFile, DamagedRowsAreRefused) {
  Fixture f;
  FakeSource model = random_source(61, 1);
  f.write(model);
  const std::string whole = f.bytes();
  const size_t rows_at = whole.size() - 210 * (12 + 124);
  for (const float bad : {std::nanf(""), 7.0f, -std::numeric_limits<float>::infinity()}) {
    for (const size_t scalar : {0u, 4u, 8u}) {
      if (scalar == 4 && bad < 0) continue;  // tested below as a negative step
      std::string bytes = whole;
      std::memcpy(bytes.data() + rows_at + 3 * 136 + scalar, &bad, sizeof bad);
      f.put(bytes);
      const std::unique_ptr<LogitsSource> file = f.open();
      EXPECT_THAT(message_of(ErrorKind::kRefused, [&] { f.compare(*file, model); }), HasSubstr("row 3 is damaged"));
    }
  }
}

// Random bytes over a whole file never crash: it opens or not, and its rows are finite log-probabilities or refused.
TEST(ReferenceFile, RandomDamageNeverCrashes) {
  Fixture f;
  f.windows = random_windows(2, 6, 3, 9);
  FakeSource model = random_source(9, 1);
  f.write(model);
  const std::string whole = f.bytes();
  Rng rng(5, 0);
  int refused = 0;
  for (int trial = 0; trial < 500; ++trial) {
    std::string bytes = whole;
    for (int i = 0; i < 3; ++i) bytes[rng.next_u32() % bytes.size()] = static_cast<char>(rng.next_u32());
    f.put(bytes);
    try {
      const std::unique_ptr<LogitsSource> file = f.open();
      const DivergenceResult out = f.compare(*file, model);
      EXPECT_TRUE(std::isfinite(out.kl_mean));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kRefused) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 250);  // most of so small a file is header
}

TEST(ReferenceFile, WhatCannotBeWrittenSaysSoAndLeavesNothing) {
  Fixture f;
  FakeSource model = random_source(61, 1);
  f.path = f.dir.file("absent/ref.bin");
  EXPECT_THAT(message_of(ErrorKind::kFailed, [&] { f.write(model); }), HasSubstr("absent/ref.bin"));
  f.path = f.dir.file("ref.bin");
  FakeSource broken(61, [](std::span<const int32_t> tokens, std::span<float> out) {
    std::fill(out.begin(), out.end(), tokens.size() == 80 ? std::nanf("") : 0.0f);
  });
  EXPECT_THAT(message_of(ErrorKind::kFailed, [&] { f.write(broken); }),
              HasSubstr("the reference: logit of token 0 is nan"));
  EXPECT_TRUE(std::filesystem::is_empty(f.dir.path()));
}

}  // namespace
}  // namespace bitloom
