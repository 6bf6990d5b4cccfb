#include "transform/reassembly/reassemble.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "forward/input_rounder.h"
#include "linalg/gemm.h"
#include "transform/reassembly/channel_matching.h"
#include "transform/reassembly/moved_columns.h"

namespace bitloom {
namespace {

using Parity = ReassembleTransform::Parity;

constexpr int64_t kTileRows = 64;

class Search {
 public:
  Search(const InputStatistics& statistics, const ActivationFormat& format, const ReassembleTransform& transform,
         const std::vector<ReassembledReader>& readers, ThreadPool& threads)
      : channels_(statistics.channels()),
        tokens_(statistics.sample->tokens()),
        x_(statistics.sample->rows()),
        counts_(statistics.sample->counts()),
        format_(format),
        staggered_(transform.parity == Parity::kNone && std::holds_alternative<IntFormat>(format.format)),
        readers_(readers),
        threads_(threads) {
    for (const ReassembledReader& reader : readers) {
      values_.push_back(decoded(*reader.weights));
      exact_.push_back(products(x_, values_.back()));
      importance_.push_back(transform.parity == Parity::kNone ? inverse_squares(exact_.back())
                                                              : std::vector<double>(rows_of(exact_.back()), 1.0));
    }
  }

  PairCosts pair_costs(const SecondMoment& moment) const {
    std::vector<float> inputs(static_cast<size_t>(channels_ * channels_)), weights(inputs.size());
    moment.copy_to(inputs.data(), threads_);
    for (size_t r = 0; r < values_.size(); ++r) add_gram(weighed(values_[r], importance_[r]), weights);
    return {channels_, inputs, weights, threads_};
  }

  bool staggered() const { return staggered_; }

  double loss(const ChannelMoves& moves) const {
    ActivationFormat format = format_;
    format.moves = moves, format.staggered = staggered_;
    std::vector<float> read(x_.size());
    InputRounder(format, channels_).round(x_.data(), tokens_, channels_, read.data(), threads_);
    double sum = 0;
    for (size_t r = 0; r < readers_.size(); ++r) {
      const RowSourcePtr w = moved_columns(readers_[r].weights, Reassembly(moves));
      sum += distance(products(read, readers_[r].rounded(*w)), exact_[r], importance_[r]);
    }
    return sum;
  }

 private:
  std::vector<float> decoded(const RowSource& w) const {
    std::vector<float> values(static_cast<size_t>(w.rows() * w.cols()));
    threads_.parallel_for((w.rows() + kTileRows - 1) / kTileRows, [&](int64_t tile) {
      const int64_t begin = tile * kTileRows, end = std::min(w.rows(), begin + kTileRows);
      w.decode_rows(begin, end, values.data() + begin * w.cols());
    });
    return values;
  }

  /// x [tokens, channels] w^T [channels, rows]
  std::vector<float> products(const std::vector<float>& x, const std::vector<float>& w) const {
    const auto rows = static_cast<int64_t>(w.size()) / channels_;
    std::vector<float> y(static_cast<size_t>(tokens_ * rows));
    sgemm_panels(Transpose::kYes, tokens_, rows, channels_, 1.0f, x.data(), w.data(), 0.0f, y.data(), threads_);
    return y;
  }

  size_t rows_of(const std::vector<float>& outputs) const { return outputs.size() / counts_.size(); }

  /// 1 / E y_o^2 of y [tokens, rows]
  std::vector<double> inverse_squares(const std::vector<float>& y) const {
    const size_t rows = rows_of(y);
    std::vector<double> squares(rows);
    double tokens = 0;
    for (size_t t = 0; t < counts_.size(); ++t) {
      tokens += counts_[t];
      for (size_t o = 0; o < rows; ++o) {
        const auto value = static_cast<double>(y[t * rows + o]);
        squares[o] += counts_[t] * value * value;
      }
    }
    for (double& square : squares) square = square > 0 ? tokens / square : 0;
    return squares;
  }

  /// Rows of w [rows, channels] times the roots of their importance.
  std::vector<float> weighed(std::vector<float> w, const std::vector<double>& importance) const {
    const auto channels = static_cast<size_t>(channels_);
    for (size_t i = 0; i < w.size(); ++i) w[i] *= static_cast<float>(std::sqrt(importance[i / channels]));
    return w;
  }

  /// sum over tokens and outputs of a_o k_t (a_t - b_t)_o^2
  double distance(const std::vector<float>& a, const std::vector<float>& b,
                  const std::vector<double>& importance) const {
    const size_t rows = rows_of(a);
    double total = 0;
    for (size_t t = 0; t < counts_.size(); ++t) {
      double of_token = 0;
      for (size_t o = 0; o < rows; ++o) {
        const double apart = static_cast<double>(a[t * rows + o]) - static_cast<double>(b[t * rows + o]);
        of_token += importance[o] * apart * apart;
      }
      total += counts_[t] * of_token;
    }
    return total;
  }

  /// gram [channels, channels] += w^T w
  void add_gram(const std::vector<float>& w, std::vector<float>& gram) const {
    const auto rows = static_cast<int64_t>(w.size()) / channels_;
    threads_.parallel_for((channels_ + kTileRows - 1) / kTileRows, [&](int64_t tile) {
      const int64_t begin = tile * kTileRows, count = std::min(kTileRows, channels_ - begin);
      sgemm(Transpose::kYes, Transpose::kNo, count, channels_, rows, 1.0f, w.data() + begin, channels_, w.data(),
            channels_, 1.0f, gram.data() + begin * channels_, channels_);
    });
  }

  int64_t channels_, tokens_;
  std::vector<float> x_;  // [tokens, channels]
  std::vector<double> counts_;
  const ActivationFormat& format_;
  const bool staggered_;
  const std::vector<ReassembledReader>& readers_;
  std::vector<std::vector<float>> values_, exact_;  // of each reader: W [rows, channels], W x [tokens, rows],
  std::vector<std::vector<double>> importance_;     // a [rows]
  ThreadPool& threads_;
};

void check(const InputStatistics& statistics, const ReassembleTransform& transform) {
  if (!(transform.ratio > 0 && transform.ratio <= 0.5)) {
    misuse("reassemble: the ratio of channels that may be added is {}, expected above 0 to 0.5", transform.ratio);
  }
  if (transform.steps < 2) misuse("reassemble: steps is {}, expected at least 2", transform.steps);
  if (statistics.moment && statistics.sample) return;
  fail(ErrorKind::kFailed, "reassembling channels: the input's statistics have no {}",
       statistics.moment ? "sample of tokens" : "second moment");
}

}  // namespace

ReassemblyChoice choose_reassembly(const InputStatistics& statistics, const ActivationFormat& format,
                                   const std::vector<ReassembledReader>& readers, const ReassembleTransform& transform,
                                   ThreadPool& threads) {
  check(statistics, transform);
  const std::vector<float> absmax = statistics.range.absmax();
  const double most = absmax.empty() ? 0 : static_cast<double>(*std::max_element(absmax.begin(), absmax.end()));
  const auto limit = static_cast<int64_t>(transform.ratio * static_cast<double>(absmax.size()));
  ReassemblyChoice choice;
  if (!(most > 0) || statistics.sample->tokens() == 0) return choice;
  const Search search(statistics, format, transform, readers, threads);
  choice.plain_loss = choice.loss = search.loss({});
  const PairCosts costs = search.pair_costs(*statistics.moment);
  int64_t last = 0;  // channels that were added
  for (int64_t p = 1; p < transform.steps; ++p) {
    const double theta = most * (1 - static_cast<double>(p) / static_cast<double>(transform.steps));
    const std::vector<int64_t> parts = parts_of_channels(absmax, theta);
    int64_t added = -static_cast<int64_t>(parts.size());
    for (const int64_t of_channel : parts) added += of_channel;
    if (added > limit) break;
    if (added == last) continue;
    last = added;
    std::optional<ChannelMoves> moves = match_channels(parts, costs);
    if (!moves) break;
    const double loss = search.loss(*moves);
    if (loss < choice.loss) choice = {std::move(*moves), search.staggered(), choice.plain_loss, loss};
  }
  return choice;
}

}  // namespace bitloom
