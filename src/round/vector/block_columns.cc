#include "round/vector/block_columns.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/memory/dtype.h"
#include "base/memory/plain_bytes.h"
#include "round/vector/block_fit.h"
#include "round/vector/metric_kmeans.h"

namespace bitloom {
namespace {

constexpr float kMostByte = 127;

/// One tile of rows.
class BlockColumns final : public StoringPolicy {
 public:
  BlockColumns(const BlockColumnProblem& problem, RowRange rows)
      : problem_(problem),
        storage_(problem.storage.base.get<BlockVectorStorage>()),
        first_row_(rows.begin),
        code_{storage_,     VectorBlocks(storage_, rows.count(), problem.weights.cols()),
              rows.count(), (problem.weights.cols() + storage_.group - 1) / storage_.group,
              {},           {}} {
    code_.codes.resize(static_cast<size_t>(code_.rows * code_.groups));
    decoded_.resize(static_cast<size_t>(code_.blocks.down * code_.strip_size()));
    books_.values.resize(decoded_.size());
    books_.scales.resize(static_cast<size_t>(code_.blocks.count()));
    searches_.assign(static_cast<size_t>(code_.blocks.down), MetricSearch(storage_.entries(), storage_.group));
    if (storage_.scaled == 0) return;
    code_.scales.resize(code_.codes.size());
    scaled_runs_ = (problem.weights.cols() + storage_.scaled - 1) / storage_.scaled;
    log_scales_.codes.resize(static_cast<size_t>(code_.rows * scaled_runs_));
    log_scales_.steps.resize(books_.scales.size());
  }

  int64_t group() const override { return code_.blocks.width; }
  int64_t vector() const override { return storage_.group; }

  void begin_group(int64_t begin, int64_t end, const float* columns) override {
    const int64_t g = storage_.group, places = (end - begin + g - 1) / g, across = begin / code_.blocks.width;
    problem_.threads.parallel_for(code_.blocks.down, [&](int64_t down) {
      const int64_t first = down * code_.blocks.height, rows = std::min(code_.blocks.height, code_.rows - first);
      std::vector<float> x(static_cast<size_t>(rows * places * g));
      for (int64_t c = 0; c < end - begin; ++c) {
        for (int64_t r = 0; r < rows; ++r)
          x[static_cast<size_t>(r * places * g + c)] = columns[c * code_.rows + first + r];
      }
      const float* metrics = problem_.metrics.data() + begin * g;
      const int64_t block = down * code_.blocks.across + across;
      std::vector<float> squares;
      if (storage_.scaled != 0) squares = normalize(block, {first, first + rows}, begin, end, x);
      const float* weights = squares.empty() ? nullptr : squares.data();
      const std::vector<float> book =
          metric_kmeans({rows, places, g, x.data(), metrics, weights}, storage_.entries(), problem_.turns);
      take(to_bytes(book, code_.book_size()), 0, block, 1);
      searches_[static_cast<size_t>(down)].set_codebook(decoded_.data() + block * code_.book_size());
    });
  }

  void begin_vector(int64_t begin, int64_t end, const float* columns) override {
    const int64_t g = storage_.group, j = begin / g;
    float x[8] = {};
    for (int64_t down = 0; down < code_.blocks.down; ++down) {
      MetricSearch& search = searches_[static_cast<size_t>(down)];
      search.set_metric(problem_.metrics.data() + j * g * g);
      const int64_t first = down * code_.blocks.height, last = std::min(code_.rows, first + code_.blocks.height);
      for (int64_t r = first; r < last; ++r) {
        const float scale = code_.scale(r, j);
        for (int64_t t = 0; t < end - begin; ++t) x[t] = columns[t * code_.rows + r] / scale;
        code_.codes[static_cast<size_t>(r * code_.groups + j)] = static_cast<uint16_t>(search.find(x));
      }
    }
  }

  void quantize_column(int64_t position, const float*, float* q) override { decode_column(position, q); }

  void decode_column(int64_t position, float* weights) const override {
    const int64_t j = position / storage_.group, t = position % storage_.group;
    for (int64_t r = 0; r < code_.rows; ++r) {
      weights[r] = decoded_[static_cast<size_t>(code_.place(r, j) + t)] * code_.scale(r, j);
    }
  }

  void end_loop() override {
    if (problem_.moment == nullptr || problem_.iterations == 0) return;
    const int64_t width = code_.width();
    std::vector<float> w(static_cast<size_t>(code_.rows * width));
    for (int64_t r = 0; r < code_.rows; ++r) {
      problem_.weights.decode_rows(first_row_ + r, first_row_ + r + 1, w.data() + r * width);
    }
    const ByteCodebooks fitted =
        to_bytes(fit_block_codebooks(code_, *problem_.moment, w, decoded_, problem_.iterations, problem_.threads),
                 code_.book_size());
    const std::vector<double> before = block_losses(code_, *problem_.moment, w, decoded_, problem_.threads);
    const std::vector<double> after = block_losses(code_, *problem_.moment, w, from_bytes(fitted), problem_.threads);
    for (int64_t down = 0; down < code_.blocks.down; ++down) {
      const auto strip = static_cast<size_t>(down);
      const int64_t first = down * code_.blocks.across;
      if (after[strip] < before[strip]) take(fitted, first, first, code_.blocks.across);
    }
  }

  Bytes chosen() const override {
    Bytes bytes;
    append(bytes, code_.codes);
    append(bytes, books_.values);
    append(bytes, books_.scales);
    append(bytes, log_scales_.codes);
    append(bytes, log_scales_.steps);
    return bytes;
  }

 private:
  /// Finds a block's scales, divides its weights x [rows, places G] by them, and gives the squares [rows, places].
  std::vector<float> normalize(int64_t block, RowRange range, int64_t begin, int64_t end, std::vector<float>& x) {
    const int64_t g = storage_.group, run = storage_.scaled, first = begin / run, runs = (end - begin + run - 1) / run;
    const int64_t places = (end - begin + g - 1) / g;
    std::vector<float> sizes(static_cast<size_t>(range.count() * runs));
    for (int64_t i = 0; i < range.count(); ++i) {
      for (int64_t c = 0; c < end - begin; ++c) {
        float& size = sizes[static_cast<size_t>(i * runs + c / run)];
        size = std::max(size, std::abs(x[static_cast<size_t>(i * places * g + c)]));
      }
    }
    const ScaleFit fit = fit_log_scales(sizes);
    const LogScaleTable table = log_scale_table(fit.step);
    log_scales_.steps[static_cast<size_t>(block)] = fit.step;
    std::vector<float> squares(static_cast<size_t>(range.count() * places));
    for (int64_t i = 0; i < range.count(); ++i) {
      const int64_t row = range.begin + i;
      std::copy_n(fit.codes.begin() + i * runs, runs, log_scales_.codes.begin() + row * scaled_runs_ + first);
      for (int64_t p = 0; p < places; ++p) {
        const float scale = table[fit.codes[static_cast<size_t>(i * runs + p * g / run)]];
        code_.scales[static_cast<size_t>(row * code_.groups + begin / g + p)] = scale;
        squares[static_cast<size_t>(i * places + p)] = scale * scale;
        for (int64_t t = 0; t < g; ++t) x[static_cast<size_t>((i * places + p) * g + t)] /= scale;
      }
    }
    return squares;
  }

  /// Codebooks of blocks [to, to + count) become those of blocks from `from` on.
  void take(const ByteCodebooks& books, int64_t from, int64_t to, int64_t count) {
    const int64_t size = code_.book_size();
    std::copy_n(books.scales.begin() + from, count, books_.scales.begin() + to);
    std::copy_n(books.values.begin() + from * size, count * size, books_.values.begin() + to * size);
    for (int64_t i = 0; i < count * size; ++i) {
      const float scale = books_.scales[static_cast<size_t>(to + i / size)];
      const auto at = static_cast<size_t>(to * size + i);
      decoded_[at] = scale * static_cast<float>(books_.values[at]);
    }
  }

  const BlockColumnProblem& problem_;
  const BlockVectorStorage& storage_;
  int64_t first_row_;
  BlockCodes code_;
  int64_t scaled_runs_ = 0;             // in a row
  LogScales log_scales_;                // n [rows, runs]
  ByteCodebooks books_;                 // [down, across, 2^B, G]
  std::vector<float> decoded_;          // the same as they decode
  std::vector<MetricSearch> searches_;  // by row of blocks, of the run of columns at hand
};

class BlockPolicies final : public ColumnPolicies {
 public:
  explicit BlockPolicies(const BlockColumnProblem& problem)
      : problem_(problem),
        storage_(problem.storage.base.get<BlockVectorStorage>()),
        rows_(problem.weights.rows()),
        cols_(problem.weights.cols()),
        blocks_(storage_, rows_, cols_),
        groups_((cols_ + storage_.group - 1) / storage_.group),
        codes_(static_cast<size_t>(rows_ * groups_)) {
    books_.values.resize(static_cast<size_t>(blocks_.count() * storage_.entries() * storage_.group));
    books_.scales.resize(static_cast<size_t>(blocks_.count()));
    if (storage_.scaled == 0) return;
    scaled_runs_ = (cols_ + storage_.scaled - 1) / storage_.scaled;
    log_scales_.codes.resize(static_cast<size_t>(rows_ * scaled_runs_));
    log_scales_.steps.resize(books_.scales.size());
  }

  bool rows_are_separable() const override { return true; }
  std::unique_ptr<StoringPolicy> policy(RowRange rows) const override {
    return std::make_unique<BlockColumns>(problem_, rows);
  }

  void store(RowRange rows, const Bytes& chosen) override {
    BytesReader reader(chosen);
    const auto codes = reader.take<uint16_t>();
    const auto values = reader.take<int8_t>();
    const auto scales = reader.take<float>();
    const auto log_codes = reader.take<uint16_t>();
    const auto steps = reader.take<float>();
    const int64_t first = rows.begin / blocks_.height * blocks_.across;
    const int64_t count = (rows.count() + blocks_.height - 1) / blocks_.height * blocks_.across;
    const int64_t size = storage_.entries() * storage_.group;
    if (static_cast<int64_t>(codes.size()) != rows.count() * groups_ ||
        static_cast<int64_t>(values.size()) != count * size || static_cast<int64_t>(scales.size()) != count ||
        static_cast<int64_t>(log_codes.size()) != rows.count() * scaled_runs_ ||
        steps.size() != (storage_.scaled == 0 ? 0 : scales.size())) {
      fail(ErrorKind::kFailed,
           "rows [{}, {}): {} codes, {} numbers of codebooks, {} scales, {} codes and {} steps of scales do not fit {}",
           rows.begin, rows.end, codes.size(), values.size(), scales.size(), log_codes.size(), steps.size(),
           to_string(storage_));
    }
    std::copy(codes.begin(), codes.end(), codes_.begin() + rows.begin * groups_);
    std::copy(values.begin(), values.end(), books_.values.begin() + first * size);
    std::copy(scales.begin(), scales.end(), books_.scales.begin() + first);
    std::copy(log_codes.begin(), log_codes.end(), log_scales_.codes.begin() + rows.begin * scaled_runs_);
    std::copy(steps.begin(), steps.end(), log_scales_.steps.begin() + (steps.empty() ? 0 : first));
  }

  std::shared_ptr<const StoredMatrix> finish(const std::string& name) override {
    return stored_from_bytes(
        name, problem_.storage, rows_, cols_,
        pack_block_vectors(storage_, rows_, cols_, codes_, books_.values, books_.scales, log_scales_));
  }

 private:
  BlockColumnProblem problem_;
  const BlockVectorStorage& storage_;
  int64_t rows_, cols_;
  VectorBlocks blocks_;
  int64_t groups_, scaled_runs_ = 0;
  std::vector<uint16_t> codes_;
  ByteCodebooks books_;
  LogScales log_scales_;
};

}  // namespace

// With U_JJ = T upper triangular, V = T^-1: M = V V^T.
std::vector<float> column_metrics(const float* u, int64_t columns, int64_t group) {
  const int64_t groups = (columns + group - 1) / group;
  std::vector<float> metrics(static_cast<size_t>(groups * group * group));
  for (int64_t j = 0; j < groups; ++j) {
    const int64_t first = j * group, n = std::min(group, columns - first);
    const auto t = [&](int64_t a, int64_t b) { return static_cast<double>(u[(first + a) * columns + first + b]); };
    double v[8][8] = {};
    for (int64_t b = 0; b < n; ++b) {
      for (int64_t a = b; a >= 0; --a) {
        double sum = a == b ? 1 : 0;
        for (int64_t k = a + 1; k <= b; ++k) sum -= t(a, k) * v[k][b];
        v[a][b] = sum / t(a, a);
      }
    }
    float* metric = metrics.data() + j * group * group;
    for (int64_t a = 0; a < n; ++a) {
      for (int64_t b = 0; b < n; ++b) {
        double sum = 0;
        for (int64_t k = std::max(a, b); k < n; ++k) sum += v[a][k] * v[b][k];
        metric[a * group + b] = static_cast<float>(sum);
      }
    }
  }
  return metrics;
}

ByteCodebooks to_bytes(std::span<const float> codebooks, int64_t size) {
  ByteCodebooks bytes;
  for (size_t begin = 0; begin < codebooks.size(); begin += static_cast<size_t>(size)) {
    const std::span<const float> book = codebooks.subspan(begin, static_cast<size_t>(size));
    float most = 0;
    for (const float value : book) {
      if (!std::isfinite(value))
        fail(ErrorKind::kFailed, "a codebook's entry is not finite: error feedback grew too large; raise damping");
      most = std::max(most, std::abs(value));
    }
    const float scale = finite_f16(most / kMostByte);
    bytes.scales.push_back(scale);
    for (const float value : book) {
      const float code = scale > 0 ? std::clamp(std::nearbyint(value / scale), -kMostByte, kMostByte) : 0.0f;
      bytes.values.push_back(static_cast<int8_t>(code));
    }
  }
  return bytes;
}

std::vector<float> from_bytes(const ByteCodebooks& codebooks) {
  const size_t size = codebooks.values.size() / std::max<size_t>(1, codebooks.scales.size());
  std::vector<float> values;
  for (size_t i = 0; i < codebooks.values.size(); ++i) {
    values.push_back(codebooks.scales[i / size] * static_cast<float>(codebooks.values[i]));
  }
  return values;
}

ScaleFit fit_log_scales(std::span<const float> sizes) {
  constexpr size_t kSmaller = 64;
  constexpr float kMost = (1 << BlockVectorStorage::kScaleBits) - 1;
  ScaleFit fit{0, std::vector<uint16_t>(sizes.size())};
  std::vector<float> logs;
  for (const float size : sizes) {
    if (size > 0) logs.push_back(std::log2(size));
  }
  if (logs.empty()) return fit;
  const float greatest = *std::max_element(logs.begin(), logs.end());
  const auto at = logs.begin() + static_cast<std::ptrdiff_t>(logs.size() / kSmaller);
  std::nth_element(logs.begin(), at, logs.end());
  fit.step = std::min(kGreatestScaleStep, finite_f16((greatest - *at) / kMost));
  if (fit.step == 0) return fit;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] <= 0) continue;
    const float down = std::nearbyint((greatest - std::log2(sizes[i])) / fit.step);
    fit.codes[i] = static_cast<uint16_t>(kMost - std::min(down, kMost));
  }
  return fit;
}

std::unique_ptr<ColumnPolicies> make_block_policies(const BlockColumnProblem& problem) {
  return std::make_unique<BlockPolicies>(problem);
}

}  // namespace bitloom
