#include "round/fpq/fpq.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "format/minifloat/cast.h"
#include "forward/input_rounder.h"
#include "round/round_matrix.h"
#include "round/test_matrix.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

Ranks one_process;

/// Tokens x_c = size(c) n, n normal and correlated with its neighbour, and what is known of them.
struct Data {
  Data(int64_t token_count, int64_t channels, float outlier, uint64_t seed = 5) : rows{token_count, channels} {
    Rng rng(seed, 3);
    x.resize(static_cast<size_t>(token_count * channels));
    for (size_t i = 0; i < x.size(); ++i) {
      const auto c = static_cast<int64_t>(i) % channels;
      x[i] = static_cast<float>(rng.normal()) + (c > 0 ? 0.4f * x[i - 1] : 0.0f);
    }
    for (size_t i = 0; i < x.size(); ++i) x[i] *= static_cast<int64_t>(i) % channels % 16 == 3 ? outlier : 1.0f;
    rows.x = x.data();
    statistics = InputStatistics(channels, {.second_moment = true, .sample = token_count});
    statistics.add(x.data(), x.data(), token_count, threads);
    absmax = statistics.range.absmax();
    const std::vector<double> mean = statistics.moment->mean_squares();
    squares.assign(mean.begin(), mean.end());
  }
  std::vector<float> rounded(const ActivationFormat& format) {
    std::vector<float> out(x.size());
    InputRounder(format, rows.channels).round(x.data(), rows.tokens, rows.channels, out.data(), threads);
    return out;
  }

  ThreadPool threads{2};
  std::vector<float> x, absmax, squares;
  TokenRows rows;
  InputStatistics statistics{0};
};

/// E in double, by the definition.
double output_error(const Data& data, const float* rounded, const std::vector<float>& w, const std::vector<float>& q,
                    int64_t row) {
  const int64_t n = data.rows.channels;
  double error = 0;
  for (int64_t t = 0; t < data.rows.tokens; ++t) {
    double d = 0;
    for (int64_t c = 0; c < n; ++c) {
      d += double{q[static_cast<size_t>(row * n + c)]} * double{rounded[t * n + c]} -
           double{w[static_cast<size_t>(row * n + c)]} * double{data.x[static_cast<size_t>(t * n + c)]};
    }
    error += d * d;
  }
  return error;
}

SearchedMatrix searched(const RowSource& w, const std::string& target) { return {&w, parse_grid_target(target), {}}; }

std::vector<float> decoded(const DenseMatrix& w, const WeightChoice& choice) {
  const auto encoder = make_encoder(choice.target.storage.format, Ties::kEven);
  std::vector<float> q = w.decode_all();
  for (size_t i = 0; i < q.size(); ++i) {
    const float scale = choice.scales[i / static_cast<size_t>(w.cols())];
    q[i] /= scale;
    encoder->snap(&q[i], 1, &q[i]);
    q[i] *= scale;
  }
  return q;
}

// The full search against every candidate of every format, judged one by one by the definition.
TEST(FormatSearch, FullFindsTheLeastErrorOfAllCandidates) {
  Data data(40, 32, 8);
  const DenseMatrix w = testing::normal_matrix(6, 32, 1);
  const std::vector<float> weights = w.decode_all(),
                           rounded = data.rounded(parse_activation_format("e2m1-tensor-at[20]"));
  for (const ClipGrid grid : {ClipGrid::kClip, ClipGrid::kBias}) {
    const WeightChoice found = choose_weights(searched(w, "e2m1-row-f32"), data.rows, rounded.data(), data.squares,
                                              {.grid = grid, .full = true}, data.threads);
    double least = INFINITY;
    for (const MinifloatFormat& format : formats_of_bits(4)) {
      double of_format = 0;
      for (int64_t r = 0; r < w.rows(); ++r) {
        float range = 0;
        for (int64_t c = 0; c < w.cols(); ++c)
          range = std::max(range, std::abs(weights[static_cast<size_t>(r * 32 + c)]));
        double of_row = INFINITY;
        for (const double clip : clip_candidates(grid, format, range)) {
          WeightChoice one = found;
          one.target.storage.format = format;
          one.scales[static_cast<size_t>(r)] = static_cast<float>(clip / max_value(format));
          of_row = std::min(of_row, output_error(data, rounded.data(), weights, decoded(w, one), r));
        }
        of_format += of_row;
      }
      least = std::min(least, of_format);
    }
    // fp32 products of 32 terms: relative 32 * 2^-24, of outputs some 10 times as large as their errors.
    EXPECT_NEAR(found.error / least, 1, 1e-4);
  }
}

// What is given up on the way changes nothing: of a matrix of several tiles that format wins whose rows, all of them,
// have the least error, wherever among the formats it stands.
TEST(FormatSearch, ChoosesTheFormatThatIsBestOnAllTiles) {
  Data data(40, 32, 8);
  const std::vector<float> rounded = data.rounded(parse_activation_format("e2m1-tensor-at[20]"));
  for (const int64_t rows : {kSearchedRows, 3 * kSearchedRows, kSearchedRows + 400}) {
    // Rows of the first tile are powers of two, what follows is even: e3m0 is best at first and e1m2 in the end.
    const std::string best = rows > kSearchedRows ? "e1m2" : "e3m0";
    Rng rng(11, 1);
    std::vector<float> weights;
    for (int64_t i = 0; i < rows * 32; ++i) {
      const double u = rng.uniform() - 0.5;
      const bool even = i >= 32 * kSearchedRows;
      weights.push_back(static_cast<float>(even ? 4 * u : std::copysign(std::exp2(-std::floor(14 * std::abs(u))), u)));
    }
    const DenseMatrix w(rows, 32, weights);
    std::vector<std::string> names;
    for (const char* given : {"e1m2-row", "e2m1-row", "e3m0-row"}) {
      const SearchedMatrix matrix = searched(w, given);
      const auto choose = [&](bool all) {
        return choose_weights(matrix, data.rows, rounded.data(), data.squares, {.all_formats = all}, data.threads);
      };
      const WeightChoice found = choose(true), alone = choose(false);
      EXPECT_LE(found.error, alone.error) << given;
      if (found.target.storage.format == matrix.target->storage.format) {
        EXPECT_EQ(found.error, alone.error);
        EXPECT_EQ(found.scales, alone.scales);
      }
      names.push_back(name_of(found.target.storage.format));
    }
    EXPECT_THAT(names, ::testing::Each(best)) << rows;
  }
}

// The input's format against every candidate by the definition, for weights that stay, several tiles of them.
TEST(FormatSearch, FindsTheBestInputOfAllCandidates) {
  Data data(24, 32, 8);
  const DenseMatrix w = testing::normal_matrix(kSearchedRows + 40, 32, 12);
  const std::vector<float> weights = w.decode_all();
  const ActivationFormat rule = parse_activation_format("e2m1-tensor-joint");
  const float range = *std::max_element(data.absmax.begin(), data.absmax.end());
  const auto error = [&](const ActivationFormat& format) {
    const std::vector<float> rounded = data.rounded(format);
    double sum = 0;
    for (int64_t r = 0; r < w.rows(); ++r) sum += output_error(data, rounded.data(), weights, weights, r);
    return sum;
  };
  const auto in_format = [&](MinifloatFormat format, double clip) {
    ActivationFormat candidate = rule;
    candidate.format = format;
    return with_fixed_range(candidate, 0, static_cast<float>(clip));
  };
  double least = INFINITY;
  for (const MinifloatFormat& format : formats_of_bits(4)) {
    for (const double clip : clip_candidates(ClipGrid::kClip, format, range))
      least = std::min(least, error(in_format(format, clip)));
  }
  const auto found =
      choose_input(rule, {{&w, {}, {}}}, data.rows, data.absmax, data.squares, {.full = true}, data.threads);
  EXPECT_NEAR(found->error / least, 1, 1e-4);  // fp32 products, as above
  EXPECT_NEAR(found->error / error(found->format), 1, 1e-4);
  EXPECT_NEAR(found->first_error / error(in_format(kE2M1, range)), 1, 1e-4);
}

// E for the input that weights were chosen for is their own error, and readers that stay add theirs.
TEST(FormatSearch, ErrorsOfReadersAddUp) {
  Data data(48, 32, 8);
  const DenseMatrix a = testing::normal_matrix(kSearchedRows + 8, 32, 13), b = testing::normal_matrix(24, 32, 14);
  const ActivationFormat rule = parse_activation_format("e2m1-tensor-output");
  const auto first_error = [&](const std::vector<SearchedMatrix>& readers) {
    return choose_input(rule, readers, data.rows, data.absmax, data.squares, {.rounds = 1}, data.threads)->first_error;
  };
  const SearchedMatrix chosen = searched(a, "e2m1-row"), stays{&b, {}, {}};
  const float range = *std::max_element(data.absmax.begin(), data.absmax.end());
  const std::vector<float> rounded = data.rounded(with_fixed_range(rule, 0, range));
  EXPECT_EQ(first_error({chosen}),
            choose_weights(chosen, data.rows, rounded.data(), data.squares, {}, data.threads).error);
  EXPECT_NEAR(first_error({chosen, stays}) / (first_error({chosen}) + first_error({stays})), 1, 1e-12);
  EXPECT_NEAR(first_error({stays, chosen}) / first_error({chosen, stays}), 1, 1e-12);
}

// The short list costs a tenth of the full search, and little of what that finds.
TEST(FormatSearch, ShortListIsNearlyAsGood) {
  Data data(256, 96, 12);
  const DenseMatrix w = testing::normal_matrix(40, 96, 2);
  const std::vector<SearchedMatrix> readers{searched(w, "e2m1-row")};
  for (const char* rule : {"e2m1-tensor-joint", "e2m1-tensor-joint-shift"}) {
    const auto by = [&](ClipGrid grid, bool full) {
      return choose_input(parse_activation_format(rule), readers, data.rows, data.absmax, data.squares,
                          {.grid = grid, .full = full}, data.threads);
    };
    const auto quick = by(ClipGrid::kClip, false), full = by(ClipGrid::kClip, true), paper = by(ClipGrid::kBias, true);
    EXPECT_LT(quick->error, 1.05 * full->error) << rule;
    EXPECT_LT(quick->error, 1.05 * paper->error) << rule;
    EXPECT_LE(quick->error, quick->first_error) << rule;
    EXPECT_TRUE(may_come_of(parse_activation_format(rule), quick->format));
    EXPECT_EQ(parse_activation_format(to_string(quick->format)), quick->format);
  }
}

// What it is for: channels of very different size under one scale.
TEST(FormatSearch, ShiftsTakeOutliersIn) {
  Data calm(256, 96, 1), wild(256, 96, 8);
  DenseMatrix w = testing::normal_matrix(40, 96, 3);
  std::vector<float> narrowed = w.decode_all();  // the same outputs: columns of outliers are as much smaller
  for (size_t i = 0; i < narrowed.size(); ++i) narrowed[i] /= i % 96 % 16 == 3 ? 8.0f : 1.0f;
  const DenseMatrix of_wild(40, 96, narrowed);
  const auto error = [&](Data& data, const DenseMatrix& weights, const char* rule) {
    const std::vector<SearchedMatrix> readers{{&weights, {}, {}}};
    return choose_input(parse_activation_format(rule), readers, data.rows, data.absmax, data.squares, {}, data.threads)
        ->error;
  };
  const double unstressed = error(calm, w, "e2m1-tensor-joint");
  EXPECT_GT(error(wild, of_wild, "e2m1-tensor-output"), 2.5 * unstressed);
  EXPECT_LT(error(wild, of_wild, "e2m1-tensor-output-shift"), 2 * unstressed);
  EXPECT_LT(error(wild, of_wild, "e2m1-tensor-joint-shift"), 2 * unstressed);
}

// Rows of no importance have no say in the format: half of the rows are even, half powers of two.
TEST(FormatSearch, OutputsCountByTheirImportance) {
  Data data(64, 48, 1);
  std::vector<float> weights;
  Rng rng(9, 9);
  for (int64_t r = 0; r < 20; ++r) {
    for (int64_t c = 0; c < 48; ++c) {
      const double u = rng.uniform() - 0.5;
      weights.push_back(static_cast<float>(r < 10 ? u : std::copysign(std::exp2(-std::floor(14 * std::abs(u))), u)));
    }
  }
  const DenseMatrix w(20, 48, weights);
  SearchedMatrix matrix = searched(w, "e2m1-row");
  const auto chosen = [&](double even, double wide) {
    matrix.importance.assign(10, even);
    matrix.importance.insert(matrix.importance.end(), 10, wide);
    const WeightChoice choice = choose_weights(matrix, data.rows, data.x.data(), data.squares, {}, data.threads);
    return name_of(choice.target.storage.format);
  };
  EXPECT_EQ(chosen(1, 0), "e1m2");
  EXPECT_EQ(chosen(0, 1), "e3m0");
}

TEST(FormatSearch, DoesNotDependOnThreads) {
  Data data(64, 48, 6);
  const DenseMatrix w = testing::normal_matrix(600, 48, 4);
  const std::vector<SearchedMatrix> readers{searched(w, "e2m1-row")};
  const ActivationFormat rule = parse_activation_format("e2m1-tensor-joint-shift");
  ThreadPool one(1), three(3);
  const auto a = choose_input(rule, readers, data.rows, data.absmax, data.squares, {}, one);
  const auto b = choose_input(rule, readers, data.rows, data.absmax, data.squares, {}, three);
  EXPECT_EQ(a->format, b->format);
  EXPECT_EQ(a->error, b->error);
}

TEST(FormatSearch, FindsNothingInZeros) {
  Data data(8, 16, 1);
  std::fill(data.x.begin(), data.x.end(), 0.0f);
  std::fill(data.absmax.begin(), data.absmax.end(), 0.0f);
  const DenseMatrix w = testing::normal_matrix(4, 16, 5);
  const std::vector<SearchedMatrix> readers{searched(w, "e2m1-row")};
  EXPECT_FALSE(choose_input(parse_activation_format("e2m1-tensor-joint"), readers, data.rows, data.absmax, data.squares,
                            {}, data.threads));
}

// Acceptance test 11 of the floating-point page: weights of FP4 whose columns are shifted while they are cast to FP8,
// multiplied with codes of one scale, are what the simulation computes.
TEST(ShiftedWeights, InFp8MultiplyAsTheSimulationDoes) {
  Data data(32, 64, 20);
  const DenseMatrix w = testing::normal_matrix(8, 64, 6);
  const ActivationFormat format =
      choose_input(parse_activation_format("e2m1-tensor-output-shift"), {searched(w, "e2m1-row")}, data.rows,
                   data.absmax, data.squares, {}, data.threads)
          ->format;
  ASSERT_GT(*std::max_element(format.shifts.begin(), format.shifts.end()), 0);
  const std::vector<float> simulated = data.rounded(format);
  const float step = scale_of_range(format, 0, format.range.high).step;
  RoundReport report;
  const auto stored = testing::round_matrix(w, "e2m1-row", &report);
  const std::vector<float> q = stored->decode_all();
  const auto encoder = make_encoder(kE2M1, Ties::kEven);
  for (int64_t r = 0; r < 8; ++r) {
    float absmax = 0;  // the row's scale, as the largest level of the row says
    for (int64_t c = 0; c < 64; ++c) absmax = std::max(absmax, std::abs(q[static_cast<size_t>(r * 64 + c)]));
    const float scale = absmax / 6;
    for (int64_t t = 0; t < 32; ++t) {
      double product = 0, expected = 0;
      for (int64_t c = 0; c < 64; ++c) {
        const auto at = static_cast<size_t>(t * 64 + c);
        const int shift = format.shifts[static_cast<size_t>(c)];
        const uint8_t w4 = cast_minifloat(kE2M1, q[static_cast<size_t>(r * 64 + c)] / scale);
        const auto w8 = rescale_code(kE2M1, w4, -shift, kE5M2Ieee);
        ASSERT_TRUE(w8);
        float x4 = std::ldexp(data.x[at], shift) / step;
        encoder->snap(&x4, 1, &x4);
        product += double{decode_minifloat(kE5M2Ieee, *w8)} * double{x4};
        expected += double{q[static_cast<size_t>(r * 64 + c)]} * double{simulated[at]};
      }
      // Each simulated value and weight is rounded to fp32 once: 2^-23 of a sum of magnitudes, at most 64 * 6 * 6.
      EXPECT_NEAR(product * double{scale} * double{step}, expected, 0x1p-23 * 64 * 36 * double{scale} * double{step});
    }
  }
}

Rounded round(const std::string& options, const std::string& target, const RowSource& w, Data* data,
              const ActivationFormat* activations = nullptr) {
  FpqRounding fpq;
  if (options.starts_with("weights")) fpq.search = FpqRounding::Search::kWeights;
  fpq.fisher = options == "weights,fisher";
  InputCache cache;
  ThreadPool threads(2);
  return round_matrix(fpq, {"w",
                            w,
                            parse_target(target),
                            data == nullptr ? nullptr : &data->statistics,
                            cache,
                            one_process,
                            threads,
                            nullptr,
                            {},
                            activations});
}

// Chosen for rounded inputs, weights serve these better than nearest rounding's, and than those for exact ones.
TEST(FpqRounding, RoundsForTheInputsAsTheyWillBe) {
  Data data(512, 64, 4);
  const DenseMatrix w = testing::normal_matrix(32, 64, 7);
  const std::vector<float> weights = w.decode_all();
  const ActivationFormat format = parse_activation_format("e2m1-tensor-at[12]");
  const std::vector<float> rounded = data.rounded(format);
  const auto error = [&](const StoredMatrix& matrix) {
    const std::vector<float> q = matrix.decode_all();
    double sum = 0;
    for (int64_t r = 0; r < 32; ++r) sum += output_error(data, rounded.data(), weights, q, r);
    return sum;
  };
  const Rounded aware = round("", "e2m1-row", w, &data, &format), unaware = round("", "e2m1-row", w, &data);
  EXPECT_LT(error(*aware.matrix), error(*unaware.matrix));
  EXPECT_LT(error(*aware.matrix), 0.95 * error(*testing::round_matrix(w, "e2m1-row")));
  EXPECT_TRUE(aware.report.output_error);
  EXPECT_EQ(bits_of(aware.matrix->spec().base.get_if<GridStorage>()->format), 4);
}

// Of an input that is rotated before it is rounded, tokens are rounded so, too.
TEST(FpqRounding, RoundsForRotatedInputs) {
  Data data(128, 96, 20);
  const DenseMatrix w = testing::normal_matrix(16, 96, 10);
  const ActivationFormat format = parse_activation_format("int4-token-had32");
  const WeightChoice expected = choose_weights(searched(w, "e2m1-row"), data.rows, data.rounded(format).data(),
                                               data.squares, search_of(FpqRounding{}), data.threads);
  EXPECT_EQ(round("", "e2m1-row", w, &data, &format).matrix->decode_all(), decoded(w, expected));
}

// Without data the weights' own errors decide: as good as any one format with scales in finer steps, but for these.
TEST(FpqRounding, NeedsNoDataForWeightsAlone) {
  const DenseMatrix w = testing::normal_matrix(32, 64, 8);
  const Rounded found = round("weights", "e2m1-row", w, nullptr);
  for (const std::string format : {"e1m2", "e2m1", "e3m0"}) {
    EXPECT_LT(found.report.weight_error, 1.05 * testing::error_of(w, format + "-row-mse")) << format;
  }
  std::vector<float> some = w.decode_all();
  std::fill_n(some.begin(), 64, 0.0f);
  const DenseMatrix with_zeros(32, 64, some);
  EXPECT_EQ(round("weights", "e2m1-row", with_zeros, nullptr).report.zero_groups, 1);
}

// With one format every tile of rows is looked at once, and its outputs are not kept.
TEST(FpqRounding, AGivenFormatNeedsOutputsOfATileOnly) {
  const auto bytes = [](FpqRounding::Formats formats, int64_t rows) {
    FpqRounding options;
    options.formats = formats;
    return cost_of(options, {.rows = rows, .cols = 64, .target = parse_target("e2m1-row"), .gathered = {.sample = 512}})
        .bytes;
  };
  for (const auto& [formats, grows] :
       {std::pair{FpqRounding::Formats::kAll, true}, {FpqRounding::Formats::kGiven, false}}) {
    EXPECT_EQ(bytes(formats, 65536) - bytes(formats, 2048), grows ? 4 * 512 * (65536 - 2048) : 0);
  }
  EXPECT_EQ(bytes(FpqRounding::Formats::kGiven, 100), bytes(FpqRounding::Formats::kAll, 100));
}

// More rows than a tile has: the same scales whether outputs are kept or not.
TEST(FormatSearch, OutputsThatAreNotKeptAreThoseThatAre) {
  Data data(64, 32, 3);
  const DenseMatrix w = testing::normal_matrix(kSearchedRows + 40, 32, 5);
  const auto rounded = data.rounded(parse_activation_format("e2m1-tensor-at[12]"));
  const auto choose = [&](bool all_formats) {
    return choose_weights(searched(w, "e3m0-row"), data.rows, rounded.data(), data.squares,
                          {.all_formats = all_formats}, data.threads);
  };
  const WeightChoice given = choose(false);
  double error = 0;
  const std::vector<float> weights = w.decode_all(), q = decoded(w, given);
  for (int64_t r = 0; r < w.rows(); ++r) error += output_error(data, rounded.data(), weights, q, r);
  EXPECT_NEAR(given.error / error, 1, 1e-4);
  EXPECT_LE(choose(true).error, given.error);
}

TEST(FpqRounding, SaysWhatItCannotRound) {
  const DenseMatrix w = testing::normal_matrix(4, 32, 9);
  const auto message = [&](const std::string& target, const char* options = "weights") -> std::string {
    try {
      round(options, target, w, nullptr);
    } catch (const Error& error) {
      return error.what();
    }
    return "rounded";
  };
  for (const std::string target : {"int4-row", "e2m1-g16", "nf4-row", "mxfp4"}) {
    EXPECT_THAT(message(target), HasSubstr("w: 'fpq' cannot choose codes of " + target));
  }
  EXPECT_THAT(message("e2m1-row-mse"), HasSubstr("fpq searches scales by itself; leave out '-mse'"));
  EXPECT_THAT(message("e2m1-row", "weights,fisher"), HasSubstr("w: 'fpq' looks at no outputs with search=weights"));
}

}  // namespace
}  // namespace bitloom
