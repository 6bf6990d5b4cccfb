#include "round/fpq/format_search.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>

#include "base/error.h"
#include "forward/input_rounder.h"
#include "linalg/gemm.h"
#include "round/scale/group_quantizer.h"

namespace bitloom {
namespace {

constexpr int64_t kRowBlock = 16;  // for one thread
constexpr size_t kShortList = 3;   // candidates that products judge

/// visit(begin, end) for blocks of a fixed size, on all threads.
void for_blocks(int64_t count, int64_t block, ThreadPool& threads, const std::function<void(int64_t, int64_t)>& visit) {
  threads.parallel_for((count + block - 1) / block,
                       [&](int64_t b) { visit(b * block, std::min(count, (b + 1) * block)); });
}

std::vector<float> decode(const RowSource& w, int64_t first, int64_t rows, ThreadPool& threads) {
  std::vector<float> tile(static_cast<size_t>(rows * w.cols()));
  for_blocks(rows, kRowBlock, threads, [&](int64_t begin, int64_t end) {
    w.decode_rows(first + begin, first + end, tile.data() + begin * w.cols());
  });
  return tile;
}

/// Formats that may take the given one's place, itself first.
std::vector<MinifloatFormat> formats_for(const MinifloatFormat& given, bool all) {
  std::vector<MinifloatFormat> formats{given};
  if (!all) return formats;
  for (const MinifloatFormat& format : formats_of_bits(bits_of(given))) {
    if (format != given) formats.push_back(format);
  }
  return formats;
}

// ---- weights --------------------------------------------------------------------------------------------------------

GridTarget with_format(GridTarget target, const MinifloatFormat& format) {
  const bool usual = target.storage.scale == default_scale(target.storage.format);
  target.storage.format = format;
  if (usual) target.storage.scale = default_scale(format);
  return target;
}

/// Rows in one format.
class RowsInFormat {
 public:
  explicit RowsInFormat(const GridTarget& target)
      : target_(target),
        format_(std::get<MinifloatFormat>(target.storage.format)),
        quantizer_(target),
        judge_(make_scale_judge(target.storage, Ties::kEven)),
        encoder_(make_encoder(target.storage.format, Ties::kEven)) {}

  const GridTarget& target() const { return target_; }

  /// Scales for a row w [n], the most promising first: those of least sum h (w' - w)^2, or all of them. None for zeros.
  /// `least`: the first one's sum.
  std::vector<float> scales_for(const float* w, const float* h, int64_t n, ClipGrid grid, bool all,
                                double& least) const {
    float absmax = 0;
    for (int64_t c = 0; c < n; ++c) absmax = std::max(absmax, std::abs(w[c]));
    least = 0;
    if (absmax == 0) return {};
    std::vector<float> scales;
    for (const double clip : clip_candidates(grid, format_, absmax)) {
      const float scale = quantizer_.round_to_stored(static_cast<float>(clip / max_value(format_)));
      if (scale > 0 && std::isfinite(scale) && (scales.empty() || all || scale != scales.back()))
        scales.push_back(scale);
    }
    if (scales.empty()) return {};
    const std::vector<double> errors = judge(w, h, n, scales);
    std::vector<size_t> order(scales.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return errors[a] < errors[b]; });
    least = errors[order.front()];
    if (!all) order.resize(std::min(order.size(), kShortList));
    std::vector<float> best;
    for (const size_t i : order) best.push_back(scales[i]);
    return best;
  }

  /// w' [n], as it is decoded once it is stored.
  void round(const float* w, int64_t n, float scale, float* out) const {
    if (scale == 0) {
      std::fill_n(out, n, 0.0f);
      return;
    }
    for (int64_t c = 0; c < n; ++c) out[c] = w[c] / scale;
    encoder_->snap(out, n, out);
    for (int64_t c = 0; c < n; ++c) out[c] *= scale;
  }

 private:
  std::vector<double> judge(const float* w, const float* h, int64_t n, const std::vector<float>& scales) const {
    std::vector<double> errors;
    for (size_t at = 0; at < scales.size(); at += kScaleLanes) {
      ScaleLanes lanes;
      for (size_t lane = 0; lane < kScaleLanes; ++lane)
        lanes.scale[lane] = scales[std::min(at + lane, scales.size() - 1)];
      judge_->judge(w, h, n, false, lanes);
      for (size_t lane = 0; lane < kScaleLanes && at + lane < scales.size(); ++lane)
        errors.push_back(lanes.error[lane]);
    }
    return errors;
  }

  GridTarget target_;
  MinifloatFormat format_;
  GroupQuantizer quantizer_;
  std::unique_ptr<const ScaleJudge> judge_;
  std::unique_ptr<const ArrayEncoder> encoder_;
};

double count_of(const TokenRows& tokens, int64_t token) { return tokens.counts == nullptr ? 1 : tokens.counts[token]; }

/// sum_t k_t (z - y)^2 of each row; z and y [tokens, rows].
std::vector<double> row_errors(const std::vector<float>& z, const std::vector<float>& y, const TokenRows& tokens,
                               int64_t rows, ThreadPool& threads) {
  std::vector<double> errors(static_cast<size_t>(rows));
  for_blocks(rows, kRowBlock, threads, [&](int64_t begin, int64_t end) {
    for (int64_t t = 0; t < tokens.tokens; ++t) {
      const double count = count_of(tokens, t);
      for (int64_t r = begin; r < end; ++r) {
        const auto at = static_cast<size_t>(t * rows + r);
        const double d = double{z[at]} - double{y[at]};
        errors[static_cast<size_t>(r)] += count * d * d;
      }
    }
  });
  return errors;
}

/// x [tokens, channels] times rows of w: [tokens, rows].
std::vector<float> product(const float* x, const TokenRows& shape, const std::vector<float>& w, int64_t rows,
                           ThreadPool& threads) {
  std::vector<float> y(static_cast<size_t>(shape.tokens * rows));
  linear_dense(x, shape.channels, shape.tokens, w.data(), rows, shape.channels, nullptr, y.data(), rows, threads);
  return y;
}

double importance_of(const SearchedMatrix& matrix, int64_t row) {
  return matrix.importance.empty() ? 1 : matrix.importance[static_cast<size_t>(row)];
}

/// What one format makes of a matrix.
struct OfFormat {
  std::vector<float> scales;
  double error = 0;
};

/// Rows `first` and on, w [rows, channels]: appends to what is known of the format. y: their exact outputs.
void choose_rows(const RowsInFormat& format, const SearchedMatrix& matrix, int64_t first, const std::vector<float>& w,
                 int64_t rows, const TokenRows& exact, const float* rounded, const std::vector<float>& y,
                 std::span<const float> squares, const FormatSearch& search, ThreadPool& threads, OfFormat& result) {
  const int64_t n = exact.channels;
  std::vector<std::vector<float>> candidates(static_cast<size_t>(rows));
  std::vector<double> least(static_cast<size_t>(rows));
  for_blocks(rows, kRowBlock, threads, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      candidates[static_cast<size_t>(r)] =
          format.scales_for(w.data() + r * n, squares.data(), n, search.grid, search.full && exact.tokens > 0,
                            least[static_cast<size_t>(r)]);
    }
  });
  std::vector<float> best(static_cast<size_t>(rows));
  std::vector<double> errors(static_cast<size_t>(rows), std::numeric_limits<double>::infinity());
  const auto scale_at = [&](size_t row, size_t k) {
    return candidates[row].empty() ? 0 : candidates[row][std::min(k, candidates[row].size() - 1)];
  };
  size_t most = 1;
  for (const auto& of_row : candidates) most = std::max(most, of_row.size());
  if (exact.tokens == 0) {
    for (size_t r = 0; r < best.size(); ++r) best[r] = scale_at(r, 0), errors[r] = least[r];
    most = 0;
  }
  std::vector<float> q(w.size());
  for (size_t k = 0; k < most; ++k) {
    for_blocks(rows, kRowBlock, threads, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        format.round(w.data() + r * n, n, scale_at(static_cast<size_t>(r), k), q.data() + r * n);
    });
    const std::vector<double> of_k = row_errors(product(rounded, exact, q, rows, threads), y, exact, rows, threads);
    for (size_t r = 0; r < of_k.size(); ++r) {
      if (of_k[r] < errors[r]) errors[r] = of_k[r], best[r] = scale_at(r, k);
    }
  }
  for (size_t r = 0; r < best.size(); ++r) {
    result.scales.push_back(best[r]);
    result.error += importance_of(matrix, first + static_cast<int64_t>(r)) * errors[r];
  }
}

// ---- the input ------------------------------------------------------------------------------------------------------

ActivationFormat fixed(ActivationFormat rule, const MinifloatFormat& format, double clip,
                       std::span<const float> absmax) {
  rule.format = format;
  rule = with_fixed_range(rule, 0, static_cast<float>(clip));
  if (rule.shifted) rule.shifts = channel_shifts(format, clip, absmax);
  return rule;
}

/// Chooses the input's format, for weights that stay for the time being.
class InputSearch {
 public:
  InputSearch(const ActivationFormat& rule, const std::vector<SearchedMatrix>& readers, const TokenRows& tokens,
              std::span<const float> absmax, const FormatSearch& search, ThreadPool& threads)
      : rule_(rule),
        readers_(readers),
        tokens_(tokens),
        absmax_(absmax),
        search_(search),
        threads_(threads),
        formats_(formats_for(std::get<MinifloatFormat>(rule.format), rule.range.kind == ActivationRange::Kind::kJoint)),
        columns_(static_cast<size_t>(tokens.channels * tokens.tokens)) {
    for (int64_t t = 0; t < tokens.tokens; ++t) {
      counts_.push_back(static_cast<float>(count_of(tokens, t)));
      for (int64_t c = 0; c < tokens.channels; ++c) {
        columns_[static_cast<size_t>(c * tokens.tokens + t)] = tokens.x[t * tokens.channels + c];
      }
    }
  }

  std::vector<float> rounded(const ActivationFormat& format) const {
    std::vector<float> x(static_cast<size_t>(tokens_.tokens * tokens_.channels));
    InputRounder(format, tokens_.channels).round(tokens_.x, tokens_.tokens, tokens_.channels, x.data(), threads_);
    return x;
  }

  /// `weights` of each reader; `now` is judged first, so that E never rises.
  std::pair<ActivationFormat, double> choose(const std::vector<std::optional<WeightChoice>>& weights,
                                             const ActivationFormat& now, double& error_now) const {
    std::vector<ActivationFormat> candidates{now};
    const std::vector<double> importance = channel_importance(weights);
    for (const MinifloatFormat& format : formats_) {
      for (ActivationFormat& candidate : promising(format, importance)) {
        if (candidate != now) candidates.push_back(std::move(candidate));
      }
    }
    const std::vector<double> errors = exact_errors(candidates, weights);
    error_now = errors.front();
    const auto best = std::min_element(errors.begin(), errors.end());
    return {candidates[static_cast<size_t>(best - errors.begin())], *best};
  }

 private:
  /// visit(reader, first row, rows, W, W') for tiles of all readers.
  void for_tiles(const std::vector<std::optional<WeightChoice>>& weights,
                 const std::function<void(const SearchedMatrix&, int64_t, int64_t, const std::vector<float>&,
                                          const std::vector<float>&)>& visit) const {
    for (size_t i = 0; i < readers_.size(); ++i) {
      const RowSource& source = *readers_[i].weights;
      std::optional<RowsInFormat> format;
      if (weights[i]) format.emplace(weights[i]->target);
      for (int64_t first = 0; first < source.rows(); first += kSearchedRows) {
        const int64_t rows = std::min(kSearchedRows, source.rows() - first), n = source.cols();
        const std::vector<float> w = decode(source, first, rows, threads_);
        std::vector<float> q = w;
        if (format) {
          for_blocks(rows, kRowBlock, threads_, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
              format->round(w.data() + r * n, n, weights[i]->scales[static_cast<size_t>(first + r)], q.data() + r * n);
            }
          });
        }
        visit(readers_[i], first, rows, w, q);
      }
    }
  }

  /// sum_n f_n W'_nc^2 [channels].
  std::vector<double> channel_importance(const std::vector<std::optional<WeightChoice>>& weights) const {
    constexpr int64_t kColumns = 256;
    const int64_t n = tokens_.channels;
    std::vector<double> sums(static_cast<size_t>(n));
    for_tiles(weights, [&](const SearchedMatrix& reader, int64_t first, int64_t rows, const std::vector<float>&,
                           const std::vector<float>& q) {
      for_blocks(n, kColumns, threads_, [&](int64_t begin, int64_t end) {
        for (int64_t r = 0; r < rows; ++r) {
          const double f = importance_of(reader, first + r);
          for (int64_t c = begin; c < end; ++c) {
            const double value = q[static_cast<size_t>(r * n + c)];
            sums[static_cast<size_t>(c)] += f * value * value;
          }
        }
      });
    });
    return sums;
  }

  /// The short list of one format, or all.
  std::vector<ActivationFormat> promising(const MinifloatFormat& format, const std::vector<double>& importance) const {
    const float range = *std::max_element(absmax_.begin(), absmax_.end());
    std::vector<ActivationFormat> candidates;
    for (const double clip : clip_candidates(search_.grid, format, range)) {
      if (std::isnormal(static_cast<float>(clip / max_value(format)))) {
        candidates.push_back(fixed(rule_, format, clip, absmax_));
      }
    }
    if (search_.full) return candidates;
    const std::vector<double> errors = diagonal_errors(format, candidates, importance);
    std::vector<size_t> order(candidates.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return errors[a] < errors[b]; });
    std::vector<ActivationFormat> best;
    for (size_t i = 0; i < std::min(order.size(), kShortList); ++i) best.push_back(candidates[order[i]]);
    return best;
  }

  /// Of every candidate sum_c importance_c sum_t k_t (x'_tc - x_tc)^2: a channel's values have one scale.
  std::vector<double> diagonal_errors(const MinifloatFormat& format, const std::vector<ActivationFormat>& candidates,
                                      const std::vector<double>& importance) const {
    GridStorage storage;
    storage.format = format;
    const std::unique_ptr<const ScaleJudge> judge = make_scale_judge(storage, Ties::kEven);
    const size_t count = candidates.size();
    std::vector<double> of_channels(importance.size() * count);
    for_blocks(tokens_.channels, kRowBlock, threads_, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        for (size_t at = 0; at < count; at += kScaleLanes) {
          ScaleLanes lanes;
          for (size_t lane = 0; lane < kScaleLanes; ++lane) {
            const ActivationFormat& candidate = candidates[std::min(at + lane, count - 1)];
            const int shift = candidate.shifts.empty() ? 0 : candidate.shifts[static_cast<size_t>(c)];
            lanes.scale[lane] = std::ldexp(scale_of_range(candidate, 0, candidate.range.high).step, -shift);
          }
          judge->judge(columns_.data() + c * tokens_.tokens, counts_.data(), tokens_.tokens, false, lanes);
          for (size_t lane = 0; lane < kScaleLanes && at + lane < count; ++lane) {
            of_channels[static_cast<size_t>(c) * count + at + lane] = lanes.error[lane];
          }
        }
      }
    });
    std::vector<double> errors(count);
    for (size_t c = 0; c < importance.size(); ++c) {
      for (size_t k = 0; k < count; ++k) errors[k] += importance[c] * of_channels[c * count + k];
    }
    return errors;
  }

  /// E of every candidate.
  std::vector<double> exact_errors(const std::vector<ActivationFormat>& candidates,
                                   const std::vector<std::optional<WeightChoice>>& weights) const {
    std::vector<double> errors(candidates.size());
    for_tiles(weights, [&](const SearchedMatrix& reader, int64_t first, int64_t rows, const std::vector<float>& w,
                           const std::vector<float>& q) {
      const std::vector<float> y = product(tokens_.x, tokens_, w, rows, threads_);
      for (size_t k = 0; k < candidates.size(); ++k) {
        const std::vector<float> z = product(rounded(candidates[k]).data(), tokens_, q, rows, threads_);
        const std::vector<double> of_rows = row_errors(z, y, tokens_, rows, threads_);
        for (int64_t r = 0; r < rows; ++r) {
          errors[k] += importance_of(reader, first + r) * of_rows[static_cast<size_t>(r)];
        }
      }
    });
    return errors;
  }

  const ActivationFormat& rule_;
  const std::vector<SearchedMatrix>& readers_;
  const TokenRows& tokens_;
  std::span<const float> absmax_;
  const FormatSearch& search_;
  ThreadPool& threads_;
  std::vector<MinifloatFormat> formats_;
  std::vector<float> columns_, counts_;  // x transposed [channels, tokens]; k [tokens]
};

}  // namespace

WeightChoice choose_weights(const SearchedMatrix& matrix, const TokenRows& exact, const float* rounded,
                            std::span<const float> squares, const FormatSearch& search, ThreadPool& threads) {
  const RowSource& source = *matrix.weights;
  const auto& given = std::get<MinifloatFormat>(matrix.target->storage.format);
  std::vector<RowsInFormat> formats;
  for (const MinifloatFormat& format : formats_for(given, search.all_formats)) {
    formats.emplace_back(with_format(*matrix.target, format));
  }
  std::vector<OfFormat> results(formats.size());
  for (int64_t first = 0; first < source.rows(); first += kSearchedRows) {
    const int64_t rows = std::min(kSearchedRows, source.rows() - first);
    const std::vector<float> w = decode(source, first, rows, threads);
    std::vector<float> y;
    if (exact.tokens > 0) y = product(exact.x, exact, w, rows, threads);
    for (size_t f = 0; f < formats.size(); ++f) {
      choose_rows(formats[f], matrix, first, w, rows, exact, rounded, y, squares, search, threads, results[f]);
    }
  }
  const auto best = std::min_element(results.begin(), results.end(),
                                     [](const OfFormat& a, const OfFormat& b) { return a.error < b.error; });
  return {formats[static_cast<size_t>(best - results.begin())].target(), best->scales, best->error};
}

std::optional<InputChoice> choose_input(const ActivationFormat& rule, const std::vector<SearchedMatrix>& readers,
                                        const TokenRows& tokens, std::span<const float> absmax,
                                        std::span<const float> squares, const FormatSearch& search,
                                        ThreadPool& threads) {
  if (!rule.range.is_by_output()) {
    fail(ErrorKind::kFailed, "\"{}\": its range is not found by outputs", to_string(rule));
  }
  const float range = absmax.empty() ? 0 : *std::max_element(absmax.begin(), absmax.end());
  const auto& given = std::get<MinifloatFormat>(rule.format);
  if (tokens.tokens == 0 || !std::isnormal(range / max_value(given))) return std::nullopt;
  const InputSearch inputs(rule, readers, tokens, absmax, search, threads);
  InputChoice choice;
  choice.format = fixed(rule, given, range, absmax);
  for (int64_t round = 0; round < search.rounds; ++round) {
    const std::vector<float> rounded = inputs.rounded(choice.format);
    std::vector<std::optional<WeightChoice>> weights;
    for (const SearchedMatrix& reader : readers) {
      weights.emplace_back();
      if (reader.target) weights.back() = choose_weights(reader, tokens, rounded.data(), squares, search, threads);
    }
    double before = 0;
    const auto [format, error] = inputs.choose(weights, choice.format, before);
    if (round == 0) choice.first_error = before;
    const bool settled = format == choice.format;
    choice.format = format, choice.error = error;
    if (settled) break;
  }
  return choice;
}

}  // namespace bitloom
