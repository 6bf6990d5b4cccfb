// What an interval says of a part of a text against the whole text, on a real model.
#include <gtest/gtest.h>

#include <memory>

#include "eval/divergence.h"
#include "eval/logits/fake_source.h"
#include "eval/statistics/interval.h"
#include "io/text_data.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {
namespace {

/// Windows of the demo's text, and each scored position's value.
struct Values {
  std::vector<int64_t> counts;
  std::vector<double> nll, kl;
};

/// Of 120 windows of `context` tokens; KL of a model with noise on its logits, where that is asked for.
Values values_of_the_demo(int64_t context_tokens, double noise) {
  ThreadPool pool(2);
  Progress silent;
  Context context{pool, silent};
  const auto checkpoint = Checkpoint::open("assets/demo");
  const TextWindows windows = cut_windows(read_text_data("assets/demo/evaluation.txt", TextFormat()),
                                          checkpoint->tokenizer(), {.context = context_tokens, .max_windows = 120});
  Decoder decoder(checkpoint, pool);
  const std::unique_ptr<LogitsSource> reference = logits_of(decoder), base = logits_of(decoder);
  testing::NoisySource noisy(*base, noise);
  LogitsSource& model = noise > 0 ? static_cast<LogitsSource&>(noisy) : *base;
  Values out;
  out.counts = scored_counts(windows);
  for (const RowDivergence& row : divergence_rows(*rows_of(*reference), model, windows, context)) {
    out.nll.push_back(row.nll_q);
    out.kl.push_back(row.kl);
  }
  return out;
}

/// Of 1000 samples of `units` windows each, drawn with replacement so that their mean is the text's: how many intervals
/// hold the whole text's mean.
int holding(const std::vector<double>& values, const std::vector<int64_t>& counts, int64_t units) {
  double whole = 0;
  for (const double x : values) whole += x / static_cast<double>(values.size());
  Rng rng(17, static_cast<uint64_t>(units));
  int held = 0;
  for (int trial = 0; trial < 1000; ++trial) {
    std::vector<double> sample;
    std::vector<int64_t> lengths;
    for (int64_t i = 0; i < units; ++i) {
      const auto w = static_cast<int64_t>(rng.next_u32() % counts.size());
      const auto begin = values.begin() + w * counts[0];
      sample.insert(sample.end(), begin, begin + counts[0]);
      lengths.push_back(counts[0]);
    }
    const MeanInterval out = mean_interval(sample, lengths);
    held += out.low <= whole && whole <= out.high ? 1 : 0;
  }
  return held;
}

// 950 of 1000 with a binomial deviation of 6.9: five of them are allowed. A story's first 32 tokens are lost twice as
// hard as the rest, and Student's t takes means for normal: of 8 such windows 898 in 1000 hold. Of 128 tokens they even
// out.
constexpr double kFiveDeviations = 34.5;

TEST(IntervalCoverage, NineteenOfTwentySamplesHoldTheWholeTextsLoss) {
  const Values values = values_of_the_demo(128, 0);
  ASSERT_EQ(values.counts.size(), 120u);
  for (const int64_t units : {8, 12, 40})
    EXPECT_NEAR(holding(values.nll, values.counts, units), 950, kFiveDeviations) << units << " windows";
}

TEST(IntervalCoverage, NineteenOfTwentySamplesHoldTheWholeTextsDivergence) {
  const Values values = values_of_the_demo(32, 0.3);
  ASSERT_EQ(values.counts.size(), 120u);
  for (const int64_t units : {8, 12, 40})
    EXPECT_NEAR(holding(values.kl, values.counts, units), 950, kFiveDeviations) << units << " windows";
}

}  // namespace
}  // namespace bitloom
