// Compact reference files: size, error, damage. What a row holds is compact_row_test.cc's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <iostream>

#include "base/error.h"
#include "base/test_data.h"
#include "eval/divergence.h"
#include "eval/logits/fake_source.h"
#include "eval/reference/format.h"
#include "eval/reference/test_reference.h"
#include "io/text_data.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {
namespace {

using testing::FakeSource;
using ::testing::HasSubstr;
using testing::message_of;
using testing::NoisySource;
using testing::random_source;
using testing::random_windows;

struct Fixture : testing::ReferencePlace {
  explicit Fixture(TextWindows text = random_windows(3, 90, 20, 700)) : ReferencePlace(std::move(text)) {}

  ReferenceHeader write(LogitsSource& model, uint64_t budget) {
    return write_reference(path, model, windows, "tok-hash", "text-hash", context, budget);
  }
  std::unique_ptr<ReferenceRows> open() { return open_reference_rows(path, windows, "tok-hash", "text-hash"); }
  DivergenceResult compare(LogitsSource& model) { return divergence(*open(), model, windows, context); }
};

/// What the file of a reference says of a model against what the reference itself says.
void expect_within_bound(const DivergenceResult& out, const DivergenceResult& direct) {
  EXPECT_LE(std::abs(out.kl_mean - direct.kl_mean), kSketchErrors * out.kl_error);
  EXPECT_LE(out.kl_certain, direct.kl_mean * (1 + 1e-6));
  EXPECT_EQ(out.top1, direct.top1);
  EXPECT_NEAR(out.nll, direct.nll, 1e-9);
  EXPECT_NEAR(out.nll_ref, direct.nll_ref, direct.nll_ref * 0x1p-23);  // a target's log p is an fp32
}

TEST(CompactReference, ErrorIsWithinTheStatedBoundAtEverySize) {
  for (const double noise : {0.02, 0.5, 3.0}) {
    Fixture f;
    FakeSource reference = random_source(700, 3), model = random_source(700, 3, noise, 5);
    const DivergenceResult direct = divergence(reference, model, f.windows, f.context);
    double error_before = INFINITY;
    for (const uint64_t budget : {uint64_t{20000}, uint64_t{60000}, uint64_t{180000}}) {
      const ReferenceHeader header = f.write(reference, budget);
      EXPECT_LE(f.bytes().size(), budget);
      EXPECT_GT(f.bytes().size() + 210 * 8, budget);  // another entry of six bytes would not fit
      EXPECT_EQ(f.bytes().size(), header.file_bytes());
      const DivergenceResult out = f.compare(model);
      expect_within_bound(out, direct);
      EXPECT_LT(out.kl_error, error_before);
      error_before = out.kl_error;
      EXPECT_GT(out.kl_max_error, 0);
    }
  }
}

TEST(CompactReference, OfAModelFromItselfIsZeroToRounding) {
  Fixture f;
  FakeSource model = random_source(700, 3);
  f.write(model, 40000);
  const DivergenceResult out = f.compare(model);
  EXPECT_NEAR(out.kl_mean, 0, 0x1p-42);
  EXPECT_NEAR(out.kl_max, 0, 0x1p-42);
  EXPECT_LE(out.kl_error, 0x1p-40);
  EXPECT_EQ(out.top1, 1);
}

// The customary file of a vocabulary of 128256 has 2 bytes for each token and position: 37 GiB would become 730 MiB
// here. One per cent is asked of the mean over 32 positions alone; over n positions the error falls with sqrt(n).
TEST(CompactReference, AFiftiethOfTheCustomaryFileKnowsTheMeanToOnePerCent) {
  const int64_t vocab = 128256;
  Fixture f(random_windows(2, 21, 5, vocab));
  FakeSource reference = random_source(vocab, 3.5), model = random_source(vocab, 3.5, 0.2, 1);
  const DivergenceResult direct = divergence(reference, model, f.windows, f.context);
  const auto rows = static_cast<uint64_t>(f.windows.scored_tokens);
  const ReferenceHeader header = f.write(reference, 300 + rows * 2 * vocab / 50);
  EXPECT_EQ(header.id_bytes(), 3u);
  EXPECT_LE(header.row_bytes() * 50, uint64_t{2} * vocab);
  const DivergenceResult out = f.compare(model);
  expect_within_bound(out, direct);
  EXPECT_LT(std::abs(out.kl_mean - direct.kl_mean), 0.01 * direct.kl_mean);
  EXPECT_LT(kSketchErrors * out.kl_error, 0.02 * direct.kl_mean);
}

TEST(CompactReference, AFileThatFitsInFullIsKeptInFull) {
  Fixture f;
  FakeSource model = random_source(700, 3);
  const uint64_t full = reference_header(700, f.windows, "tok-hash", "text-hash").file_bytes();
  EXPECT_FALSE(f.write(model, full).is_compact());
  EXPECT_EQ(f.bytes().size(), full);
  EXPECT_TRUE(f.write(model, full - 1).is_compact());
  EXPECT_THAT(message_of(ErrorKind::kRefused, [&] { open_reference(f.path, f.windows, "tok-hash", "text-hash"); }),
              HasSubstr("is compact: it holds no logits"));
}

TEST(CompactReference, ABudgetTooSmallNamesTheLeast) {
  Fixture f;
  FakeSource model = random_source(700, 3);
  const uint64_t least = reference_header(700, f.windows, "tok-hash", "text-hash", 8).file_bytes();
  EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { f.write(model, least - 1); }),
              HasSubstr(fmt::format("{} bytes are too few for 210 positions: at least {}", least - 1, least)));
  EXPECT_EQ(f.write(model, least).entries, 8u);
}

TEST(CompactReference, BytesDoNotDependOnThreads) {
  Fixture f;
  FakeSource model = random_source(700, 3);
  f.write(model, 40000);
  const std::string two = f.bytes();
  ThreadPool five(5);
  Context context{five, f.silent};
  write_reference(f.path, model, f.windows, "tok-hash", "text-hash", context, 40000);
  EXPECT_EQ(f.bytes(), two);
}

TEST(CompactReference, OtherTokenizersAndTextsAreRefusedByName) {
  Fixture f;
  FakeSource model = random_source(700, 3);
  f.write(model, 40000);
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { open_reference_rows(f.path, f.windows, "other", "text-hash"); }),
            f.path + ": made with tokenizer tok-hash, asked for with other");
  EXPECT_EQ(message_of(ErrorKind::kRefused, [&] { open_reference_rows(f.path, f.windows, "tok-hash", "other"); }),
            f.path + ": made with text text-hash, asked for with other");
}

TEST(CompactReference, DamageIsRefused) {
  Fixture f(random_windows(2, 6, 3, 40));
  FakeSource model = random_source(40, 3);
  const ReferenceHeader header = f.write(model, 620);
  ASSERT_TRUE(header.is_compact());
  const std::string whole = f.bytes();
  const size_t row = header.data_offset + 2 * header.row_bytes();
  const auto with = [&](size_t offset, auto value) {
    std::string bytes = whole;
    std::memcpy(bytes.data() + row + offset, &value, sizeof value);
    f.put(bytes);
    return message_of(ErrorKind::kRefused, [&] { f.compare(model); });
  };
  EXPECT_THAT(with(0, 1.0f), HasSubstr("row 2 is damaged"));
  EXPECT_THAT(with(4, std::nanf("")), HasSubstr("row 2 is damaged"));
  EXPECT_THAT(with(8, int32_t{40}), HasSubstr("row 2 is damaged"));
  EXPECT_THAT(with(8, int32_t{-1}), HasSubstr("row 2 is damaged"));
  EXPECT_THAT(with(12, uint16_t{0}), HasSubstr("row 2 is damaged"));
  EXPECT_THAT(with(14, uint16_t{1}), HasSubstr("row 2 is damaged"));
  EXPECT_THAT(with(14, uint16_t{65535}), HasSubstr("row 2 is damaged"));
  EXPECT_THAT(with(16, 3.0f), HasSubstr("row 2 is damaged"));
  EXPECT_THAT(with(16 + 4 * header.entries, uint16_t{40}), HasSubstr("row 2 is damaged"));
  EXPECT_THAT(with(16 + 4 * header.entries, uint16_t{39}), HasSubstr("row 2 is damaged"));  // ids must rise
  for (size_t size = 0; size < whole.size(); ++size) {
    f.put(whole.substr(0, size));
    EXPECT_THAT(message_of(ErrorKind::kRefused, [&] { f.open(); }), HasSubstr(f.path)) << size;
  }
}

TEST(CompactReference, RandomDamageNeverCrashes) {
  Fixture f(random_windows(2, 6, 3, 40));
  FakeSource model = random_source(40, 1);
  f.write(model, 620);
  const std::string whole = f.bytes();
  Rng rng(5, 0);
  for (int trial = 0; trial < 500; ++trial) {
    std::string bytes = whole;
    for (int i = 0; i < 3; ++i) bytes[rng.next_u32() % bytes.size()] = static_cast<char>(rng.next_u32());
    f.put(bytes);
    try {
      EXPECT_TRUE(std::isfinite(f.compare(model).kl_mean));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kRefused) << error.what();
    }
  }
}

/// Distributions of a real model on a real text, at a fiftieth (or what `shrink` says) of 2 bytes for each token.
void expect_small_and_right(const std::string& model_path, int64_t context, uint64_t shrink,
                            const std::vector<double>& noises) {
  const auto checkpoint = Checkpoint::open(model_path);
  const std::string text = read_text_data("assets/demo/evaluation.txt", TextFormat());
  Fixture f(cut_windows(text, checkpoint->tokenizer(), {.context = context, .max_windows = 2}));
  Decoder decoder(checkpoint, f.pool);
  const std::unique_ptr<LogitsSource> reference = logits_of(decoder), base = logits_of(decoder);
  const auto vocab = static_cast<uint64_t>(reference->vocab_size());
  const auto rows = static_cast<uint64_t>(f.windows.scored_tokens);
  const ReferenceHeader header = f.write(*reference, 400 + rows * 2 * vocab / shrink);
  EXPECT_LE(header.row_bytes() * shrink, 2 * vocab);
  for (const double noise : noises) {
    NoisySource model(*base, noise);
    const DivergenceResult direct = divergence(*reference, model, f.windows, f.context);
    const DivergenceResult out = f.compare(model);
    expect_within_bound(out, direct);
    EXPECT_LT(std::abs(out.kl_mean - direct.kl_mean), 0.01 * direct.kl_mean);
    std::cout << model_path << ": " << header.entries << " entries of " << vocab << ", KL " << direct.kl_mean << " +- "
              << kSketchErrors * out.kl_error << ", off by " << out.kl_mean - direct.kl_mean << "\n";
  }
}

TEST(CompactReference, OfTheDemoModel) { expect_small_and_right("assets/demo", 128, 4, {0.05, 0.5}); }

TEST(CompactReference, OfEnglish3m) {
  BITLOOM_REQUIRE_SHARED("models/english-3m");
  expect_small_and_right(testing::shared_path("models/english-3m"), 128, 4, {0.2});
}

TEST(CompactReference, OfSmolLm2AtAFiftieth) {
  BITLOOM_REQUIRE_SMOLLM2();
  expect_small_and_right(testing::smollm2_path(), 64, 50, {0.2});
}

}  // namespace
}  // namespace bitloom
