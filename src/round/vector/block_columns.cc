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
        code_{storage_,
              VectorBlocks(storage_, rows.count(), problem.weights.cols()),
              rows.count(),
              (problem.weights.cols() + storage_.group - 1) / storage_.group,
              {}} {
    code_.codes.resize(static_cast<size_t>(code_.rows * code_.groups));
    decoded_.resize(static_cast<size_t>(code_.blocks.down * code_.strip_size()));
    books_.values.resize(decoded_.size());
    books_.scales.resize(static_cast<size_t>(code_.blocks.count()));
    searches_.assign(static_cast<size_t>(code_.blocks.down), MetricSearch(storage_.entries(), storage_.group));
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
      const std::vector<float> book =
          metric_kmeans({rows, places, g, x.data(), metrics}, storage_.entries(), problem_.turns);
      const int64_t block = down * code_.blocks.across + across;
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
        for (int64_t t = 0; t < end - begin; ++t) x[t] = columns[t * code_.rows + r];
        code_.codes[static_cast<size_t>(r * code_.groups + j)] = static_cast<uint16_t>(search.find(x));
      }
    }
  }

  void quantize_column(int64_t position, const float*, float* q) override { decode_column(position, q); }

  void decode_column(int64_t position, float* weights) const override {
    const int64_t j = position / storage_.group, t = position % storage_.group;
    for (int64_t r = 0; r < code_.rows; ++r) weights[r] = decoded_[static_cast<size_t>(code_.place(r, j) + t)];
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
    return bytes;
  }

 private:
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
    const int64_t first = rows.begin / blocks_.height * blocks_.across;
    const int64_t count = (rows.count() + blocks_.height - 1) / blocks_.height * blocks_.across;
    const int64_t size = storage_.entries() * storage_.group;
    if (static_cast<int64_t>(codes.size()) != rows.count() * groups_ ||
        static_cast<int64_t>(values.size()) != count * size || static_cast<int64_t>(scales.size()) != count) {
      fail(ErrorKind::kFailed, "rows [{}, {}): {} codes, {} numbers of codebooks and {} scales do not fit {}",
           rows.begin, rows.end, codes.size(), values.size(), scales.size(), to_string(storage_));
    }
    std::copy(codes.begin(), codes.end(), codes_.begin() + rows.begin * groups_);
    std::copy(values.begin(), values.end(), books_.values.begin() + first * size);
    std::copy(scales.begin(), scales.end(), books_.scales.begin() + first);
  }

  std::shared_ptr<const StoredMatrix> finish(const std::string& name) override {
    return stored_from_bytes(name, problem_.storage, rows_, cols_,
                             pack_block_vectors(storage_, rows_, cols_, codes_, books_.values, books_.scales));
  }

 private:
  BlockColumnProblem problem_;
  const BlockVectorStorage& storage_;
  int64_t rows_, cols_;
  VectorBlocks blocks_;
  int64_t groups_;
  std::vector<uint16_t> codes_;
  ByteCodebooks books_;
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

std::unique_ptr<ColumnPolicies> make_block_policies(const BlockColumnProblem& problem) {
  return std::make_unique<BlockPolicies>(problem);
}

}  // namespace bitloom
