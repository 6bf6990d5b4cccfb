#include "round/fpq/format_search.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>

#include "base/error.h"
#include "base/simd/vector_clones.h"
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

/// Rows [first, first + rows) of a matrix.
struct RowTile {
  int64_t first = 0, rows = 0;
};

/// The rows of a matrix, kSearchedRows at a time.
std::vector<RowTile> tiles_of(const RowSource& w) {
  std::vector<RowTile> tiles;
  for (int64_t first = 0; first < w.rows(); first += kSearchedRows) {
    tiles.push_back({first, std::min(kSearchedRows, w.rows() - first)});
  }
  return tiles;
}

/// What the tiles of one search are made in, one after another.
struct Buffers {
  std::vector<float> w, q, z;  // a tile's rows, the same rounded [rows, channels], and its outputs [tokens, rows]
};

/// The tile's rows, in `out`.
void decode(const RowSource& w, RowTile tile, std::vector<float>& out, ThreadPool& threads) {
  out.resize(static_cast<size_t>(tile.rows * w.cols()));
  for_blocks(tile.rows, kRowBlock, threads, [&](int64_t begin, int64_t end) {
    w.decode_rows(tile.first + begin, tile.first + end, out.data() + begin * w.cols());
  });
}

/// Indices [0, count) by ascending key(i), equals in their order.
template <typename Key>
std::vector<size_t> ascending(size_t count, const Key& key) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key(a) < key(b); });
  return order;
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
    std::vector<size_t> order = ascending(scales.size(), [&](size_t i) { return errors[i]; });
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

/// sums [count] = sum_t k_t (z - y)^2; z and y [tokens, count], `stride` floats from token to token. counts [tokens],
/// or null: once. In the order of tokens.
BITLOOM_VECTOR_CLONES void sum_squares(const float* z, const float* y, int64_t stride, const double* counts,
                                       int64_t tokens, int64_t count, double* sums) {
  for (int64_t r = 0; r < count; ++r) sums[r] = 0;
  for (int64_t t = 0; t < tokens; ++t, z += stride, y += stride) {
    const double k = counts == nullptr ? 1 : counts[t];
    for (int64_t r = 0; r < count; ++r) {
      const double d = double{z[r]} - double{y[r]};
      sums[r] += k * d * d;
    }
  }
}

/// The same of each row of a tile's outputs.
std::vector<double> row_errors(const float* z, const float* y, const TokenRows& tokens, int64_t rows,
                               ThreadPool& threads) {
  constexpr int64_t kRows = 64;
  std::vector<double> errors(static_cast<size_t>(rows));
  for_blocks(rows, kRows, threads, [&](int64_t begin, int64_t end) {
    double sums[kRows];
    sum_squares(z + begin, y + begin, rows, tokens.counts, tokens.tokens, end - begin, sums);
    std::copy_n(sums, end - begin, errors.begin() + begin);
  });
  return errors;
}

/// out [tokens, rows] = x [tokens, channels] times rows of w, transposed.
void multiply(const float* x, const TokenRows& shape, const std::vector<float>& w, int64_t rows, float* out,
              ThreadPool& threads) {
  linear_dense(x, shape.channels, shape.tokens, w.data(), rows, shape.channels, nullptr, out, rows, threads);
}

/// The same into a buffer.
const float* product(const float* x, const TokenRows& shape, const std::vector<float>& w, int64_t rows,
                     std::vector<float>& out, ThreadPool& threads) {
  out.resize(static_cast<size_t>(shape.tokens * rows));
  multiply(x, shape, w, rows, out.data(), threads);
  return out.data();
}

/// What a matrix makes of the tokens as they are, y: each tile is multiplied when it is first asked for, and kept for
/// the other formats and rounds, where there are any.
class ExactOutputs {
 public:
  ExactOutputs(const TokenRows& exact, int64_t rows, bool keeps, ThreadPool& threads)
      : exact_(exact),
        keeps_(keeps),
        y_(std::make_unique_for_overwrite<float[]>(
            static_cast<size_t>(exact.tokens * (keeps ? rows : std::min(rows, kSearchedRows))))),
        threads_(threads) {}

  /// [tokens, rows of the tile], whose rows are w. A first visit goes from tile to tile.
  const float* of(RowTile tile, const std::vector<float>& w) {
    float* y = y_.get() + (keeps_ ? exact_.tokens * tile.first : 0);
    if (tile.first == made_ || !keeps_) {
      multiply(exact_.x, exact_, w, tile.rows, y, threads_);
      made_ += tile.rows;
    }
    return y;
  }

 private:
  const TokenRows& exact_;
  bool keeps_;  // else one tile at a time
  std::unique_ptr<float[]> y_;
  int64_t made_ = 0;  // rows
  ThreadPool& threads_;
};

double importance_of(const SearchedMatrix& matrix, int64_t row) {
  return matrix.importance.empty() ? 1 : matrix.importance[static_cast<size_t>(row)];
}

struct ChosenWeights {
  WeightChoice choice;
  std::vector<double> errors;  // of the rows, before they count by their importance
};

/// What one format makes of a matrix, as far as it was looked at.
struct OfFormat {
  std::vector<float> scales;
  std::vector<double> errors;  // of the rows
  double error = 0;            // E
};

/// Chooses a matrix's format and scales, for an input that stays for the time being.
class WeightSearch {
 public:
  WeightSearch(const SearchedMatrix& matrix, const TokenRows& exact, const float* rounded,
               std::span<const float> squares, const FormatSearch& search, ExactOutputs& outputs, Buffers& buffers,
               ThreadPool& threads)
      : matrix_(matrix),
        exact_(exact),
        rounded_(rounded),
        squares_(squares),
        search_(search),
        outputs_(outputs),
        buffers_(buffers),
        threads_(threads) {}

  /// The format of least error, the first of equals. One whose error on the rows so far exceeds another's on all of
  /// them is given up: sums of squares only grow, in fp64 as well. So those come first that do best on the first tile.
  ChosenWeights choose() const {
    std::vector<RowsInFormat> formats;
    const auto& given = std::get<MinifloatFormat>(matrix_.target->storage.format);
    for (const MinifloatFormat& format : formats_for(given, search_.all_formats)) {
      GridTarget target = *matrix_.target;
      target.storage = with_format(target.storage, format);
      formats.emplace_back(std::move(target));
    }
    const std::vector<RowTile> tiles = tiles_of(*matrix_.weights);
    std::vector<OfFormat> results(formats.size());
    for (size_t f = 0; f < formats.size() && !tiles.empty(); ++f) add_tile(formats[f], tiles.front(), results[f]);
    std::vector<size_t> order = ascending(results.size(), [&](size_t f) { return results[f].error; });
    double least = std::numeric_limits<double>::infinity();
    for (const size_t f : order) {
      for (size_t i = 1; i < tiles.size() && !(results[f].error > least); ++i) {
        add_tile(formats[f], tiles[i], results[f]);
      }
      least = std::min(least, results[f].error);
    }
    const auto best = std::min_element(results.begin(), results.end(),
                                       [](const OfFormat& a, const OfFormat& b) { return a.error < b.error; });
    return {{formats[static_cast<size_t>(best - results.begin())].target(), std::move(best->scales), best->error},
            std::move(best->errors)};
  }

 private:
  /// Appends to what is known of the format.
  void add_tile(const RowsInFormat& format, RowTile tile, OfFormat& result) const {
    const int64_t n = exact_.channels;
    decode(*matrix_.weights, tile, buffers_.w, threads_);
    std::vector<std::vector<float>> candidates(static_cast<size_t>(tile.rows));  // scales of each row
    std::vector<double> errors(candidates.size());
    for_blocks(tile.rows, kRowBlock, threads_, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        candidates[static_cast<size_t>(r)] =
            format.scales_for(buffers_.w.data() + r * n, squares_.data(), n, search_.grid,
                              search_.full && exact_.tokens > 0, errors[static_cast<size_t>(r)]);
      }
    });
    std::vector<float> best(candidates.size());
    if (exact_.tokens > 0) {
      judge_by_products(format, tile, candidates, best, errors);
    } else {
      for (size_t r = 0; r < best.size(); ++r) best[r] = scale_at(candidates[r], 0);
    }
    for (size_t r = 0; r < best.size(); ++r) {
      result.scales.push_back(best[r]);
      result.errors.push_back(errors[r]);
      result.error += importance_of(matrix_, tile.first + static_cast<int64_t>(r)) * errors[r];
    }
  }

  static float scale_at(const std::vector<float>& candidates, size_t k) {
    return candidates.empty() ? 0 : candidates[std::min(k, candidates.size() - 1)];
  }

  /// Each row's best candidate and its error: all rows' first ones, then all second ones, and so on. The buffers hold
  /// the tile.
  void judge_by_products(const RowsInFormat& format, RowTile tile, const std::vector<std::vector<float>>& candidates,
                         std::vector<float>& best, std::vector<double>& errors) const {
    const int64_t n = exact_.channels;
    const float* y = outputs_.of(tile, buffers_.w);
    size_t most = 1;
    for (const auto& of_row : candidates) most = std::max(most, of_row.size());
    errors.assign(errors.size(), std::numeric_limits<double>::infinity());
    buffers_.q.resize(buffers_.w.size());
    for (size_t k = 0; k < most; ++k) {
      for_blocks(tile.rows, kRowBlock, threads_, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          format.round(buffers_.w.data() + r * n, n, scale_at(candidates[static_cast<size_t>(r)], k),
                       buffers_.q.data() + r * n);
        }
      });
      const float* z = product(rounded_, exact_, buffers_.q, tile.rows, buffers_.z, threads_);
      const std::vector<double> of_k = row_errors(z, y, exact_, tile.rows, threads_);
      for (size_t r = 0; r < of_k.size(); ++r) {
        if (of_k[r] < errors[r]) errors[r] = of_k[r], best[r] = scale_at(candidates[r], k);
      }
    }
  }

  const SearchedMatrix& matrix_;
  const TokenRows& exact_;
  const float* rounded_;
  std::span<const float> squares_;
  const FormatSearch& search_;
  ExactOutputs& outputs_;
  Buffers& buffers_;
  ThreadPool& threads_;
};

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
              std::span<const float> absmax, std::span<const float> squares, const FormatSearch& search,
              ThreadPool& threads)
      : rule_(rule),
        readers_(readers),
        tokens_(tokens),
        absmax_(absmax),
        squares_(squares),
        search_(search),
        threads_(threads),
        formats_(formats_for(std::get<MinifloatFormat>(rule.format), rule.range.kind == ActivationRange::Kind::kJoint)),
        columns_(static_cast<size_t>(tokens.channels * tokens.tokens)),
        rounded_(columns_.size()) {
    for (int64_t t = 0; t < tokens.tokens; ++t)
      counts_.push_back(tokens.counts == nullptr ? 1 : static_cast<float>(tokens.counts[t]));
    for_blocks(tokens.channels, kRowBlock, threads_, [&](int64_t begin, int64_t end) {
      for (int64_t t = 0; t < tokens.tokens; ++t) {
        for (int64_t c = begin; c < end; ++c)
          columns_[static_cast<size_t>(c * tokens.tokens + t)] = tokens.x[t * tokens.channels + c];
      }
    });
    for (const SearchedMatrix& reader : readers) outputs_.emplace_back(tokens_, reader.weights->rows(), true, threads_);
  }

  /// The readers' weights for this format of the input; none of those that stay as they are.
  std::vector<std::optional<ChosenWeights>> weights_for(const ActivationFormat& format) {
    round_tokens(format);
    std::vector<std::optional<ChosenWeights>> weights(readers_.size());
    for (size_t i = 0; i < readers_.size(); ++i) {
      if (!readers_[i].target) continue;
      weights[i] =
          WeightSearch(readers_[i], tokens_, rounded_.data(), squares_, search_, outputs_[i], buffers_, threads_)
              .choose();
    }
    return weights;
  }

  /// The first of equals. `weights`: for the input as it is `now`, whose E is error_now; it is the first candidate, so
  /// that E never rises. A candidate whose error on the rows so far exceeds the best one's is given up, so promising
  /// ones are judged first.
  std::pair<ActivationFormat, double> choose(const std::vector<std::optional<ChosenWeights>>& weights,
                                             const ActivationFormat& now, double& error_now) {
    std::vector<Candidate> candidates{{now}};
    const std::vector<double> importance = channel_importance(weights);
    for (const MinifloatFormat& format : formats_) {
      for (Candidate& candidate : promising(format, importance)) {
        if (candidate.format != now) candidates.push_back(std::move(candidate));
      }
    }
    size_t best = 0;
    double least = error_now = error_of(now, weights, true, std::numeric_limits<double>::infinity());
    for (const size_t k : ascending(candidates.size(), [&](size_t i) { return candidates[i].estimate; })) {
      if (k == 0) continue;
      const double error = error_of(candidates[k].format, weights, false, least);
      if (error < least || (error == least && k < best)) least = error, best = k;
    }
    return {candidates[best].format, least};
  }

 private:
  struct Candidate {
    ActivationFormat format;
    double estimate = 0;  // of E, up to what is the same for all
  };

  void round_tokens(const ActivationFormat& format) {
    InputRounder(format, tokens_.channels)
        .round(tokens_.x, tokens_.tokens, tokens_.channels, rounded_.data(), threads_);
  }

  /// visit(tile, W, W') for the tiles of a reader, W' = W where it stays as it is, for as long as it returns true.
  template <typename Visit>
  void for_tiles(size_t reader, const std::optional<ChosenWeights>& chosen, const Visit& visit) {
    const RowSource& source = *readers_[reader].weights;
    std::optional<RowsInFormat> format;
    if (chosen) format.emplace(chosen->choice.target);
    const int64_t n = source.cols();
    for (const RowTile tile : tiles_of(source)) {
      decode(source, tile, buffers_.w, threads_);
      if (format) {
        buffers_.q.resize(buffers_.w.size());
        for_blocks(tile.rows, kRowBlock, threads_, [&](int64_t begin, int64_t end) {
          for (int64_t r = begin; r < end; ++r) {
            format->round(buffers_.w.data() + r * n, n, chosen->choice.scales[static_cast<size_t>(tile.first + r)],
                          buffers_.q.data() + r * n);
          }
        });
      }
      if (!visit(tile, buffers_.w, format ? buffers_.q : buffers_.w)) return;
    }
  }

  /// sum_n f_n W'_nc^2 [channels].
  std::vector<double> channel_importance(const std::vector<std::optional<ChosenWeights>>& weights) {
    constexpr int64_t kColumns = 256;
    const int64_t n = tokens_.channels;
    std::vector<double> sums(static_cast<size_t>(n));
    for (size_t i = 0; i < readers_.size(); ++i) {
      for_tiles(i, weights[i], [&](RowTile tile, const std::vector<float>&, const std::vector<float>& q) {
        for_blocks(n, kColumns, threads_, [&](int64_t begin, int64_t end) {
          for (int64_t r = 0; r < tile.rows; ++r) {
            const double f = importance_of(readers_[i], tile.first + r);
            for (int64_t c = begin; c < end; ++c) {
              const double value = q[static_cast<size_t>(r * n + c)];
              sums[static_cast<size_t>(c)] += f * value * value;
            }
          }
        });
        return true;
      });
    }
    return sums;
  }

  /// The short list of one format, or all.
  std::vector<Candidate> promising(const MinifloatFormat& format, const std::vector<double>& importance) const {
    const float range = *std::max_element(absmax_.begin(), absmax_.end());
    std::vector<Candidate> candidates;
    for (const double clip : clip_candidates(search_.grid, format, range)) {
      if (std::isnormal(static_cast<float>(clip / max_value(format)))) {
        candidates.push_back({fixed(rule_, format, clip, absmax_)});
      }
    }
    estimate(format, importance, candidates);
    if (search_.full) return candidates;
    std::vector<Candidate> best;
    for (const size_t i : ascending(candidates.size(), [&](size_t k) { return candidates[k].estimate; })) {
      if (best.size() < kShortList) best.push_back(std::move(candidates[i]));
    }
    return best;
  }

  /// Of every candidate sum_c importance_c sum_t k_t (x'_tc - x_tc)^2: a channel's values have one scale.
  void estimate(const MinifloatFormat& format, const std::vector<double>& importance,
                std::vector<Candidate>& candidates) const {
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
            const ActivationFormat& candidate = candidates[std::min(at + lane, count - 1)].format;
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
    for (size_t c = 0; c < importance.size(); ++c) {
      for (size_t k = 0; k < count; ++k) candidates[k].estimate += importance[c] * of_channels[c * count + k];
    }
  }

  /// E of the input in this format; where that exceeds `bound`, some sum above it. `known`: that weights were chosen
  /// for it, so that the tokens are rounded to it and these weights' errors are known.
  double error_of(const ActivationFormat& format, const std::vector<std::optional<ChosenWeights>>& weights, bool known,
                  double bound) {
    if (!known) round_tokens(format);
    double error = 0;
    for (size_t i = 0; i < readers_.size() && !(error > bound); ++i) {
      const auto add = [&](int64_t first, std::span<const double> of_rows) {
        for (size_t r = 0; r < of_rows.size(); ++r) {
          error += importance_of(readers_[i], first + static_cast<int64_t>(r)) * of_rows[r];
        }
      };
      if (known && weights[i]) {
        add(0, weights[i]->errors);
        continue;
      }
      for_tiles(i, weights[i], [&](RowTile tile, const std::vector<float>& w, const std::vector<float>& q) {
        const float* y = outputs_[i].of(tile, w);
        const float* z = product(rounded_.data(), tokens_, q, tile.rows, buffers_.z, threads_);
        add(tile.first, row_errors(z, y, tokens_, tile.rows, threads_));
        return !(error > bound);
      });
    }
    return error;
  }

  const ActivationFormat& rule_;
  const std::vector<SearchedMatrix>& readers_;
  const TokenRows& tokens_;
  std::span<const float> absmax_, squares_;
  const FormatSearch& search_;
  ThreadPool& threads_;
  std::vector<MinifloatFormat> formats_;
  std::vector<float> columns_, counts_;  // x transposed [channels, tokens]; k [tokens]
  std::vector<float> rounded_;           // x' [tokens, channels] of the format that is looked at
  std::vector<ExactOutputs> outputs_;    // of the readers
  Buffers buffers_;
};

}  // namespace

WeightChoice choose_weights(const SearchedMatrix& matrix, const TokenRows& exact, const float* rounded,
                            std::span<const float> squares, const FormatSearch& search, ThreadPool& threads) {
  ExactOutputs outputs(exact, matrix.weights->rows(), search.all_formats, threads);
  Buffers buffers;
  return WeightSearch(matrix, exact, rounded, squares, search, outputs, buffers, threads).choose().choice;
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
  InputSearch inputs(rule, readers, tokens, absmax, squares, search, threads);
  InputChoice choice;
  choice.format = fixed(rule, given, range, absmax);
  for (int64_t round = 0; round < search.rounds; ++round) {
    double before = 0;
    const auto [format, error] = inputs.choose(inputs.weights_for(choice.format), choice.format, before);
    if (round == 0) choice.first_error = before;
    const bool settled = format == choice.format;
    choice.format = format, choice.error = error;
    if (settled) break;
  }
  return choice;
}

}  // namespace bitloom
