#include "round/kmeans/kmeans.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/simd/vector_clones.h"
#include "format/families/codebook/codebook_matrix.h"
#include "packing/bitstream.h"
#include "round/kmeans/exact_kmeans.h"
#include "round/round_matrix.h"
#include "round/scale/whole_matrix.h"

namespace bitloom {
namespace {

using Share = CodebookStorage::Share;

/// W [rows, cols] in memory, and which weights are reserved.
struct Weights {
  int64_t rows = 0, cols = 0;
  std::vector<float> values;
  std::vector<uint8_t> reserved;  // empty: none
  float at(int64_t i) const { return values[static_cast<size_t>(i)]; }
  bool is_reserved(int64_t i) const { return !reserved.empty() && reserved[static_cast<size_t>(i)] != 0; }
};

/// Marks the `count` weights of greatest magnitude, the first among equals.
void reserve(Weights& weights, int64_t count) {
  if (count == 0) return;
  std::vector<int64_t> order(weights.values.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto before = [&](int64_t a, int64_t b) {
    const float x = std::abs(weights.at(a)), y = std::abs(weights.at(b));
    return x != y ? x > y : a < b;
  };
  std::nth_element(order.begin(), order.begin() + (count - 1), order.end(), before);
  weights.reserved.assign(weights.values.size(), 0);
  for (int64_t i = 0; i < count; ++i) weights.reserved[static_cast<size_t>(order[static_cast<size_t>(i)])] = 1;
}

/// The weights of one table, by their places in W.
std::vector<int64_t> places_of(const Weights& weights, const TableShape& shape, int64_t table) {
  const int64_t row0 = table / shape.cols * shape.table_rows, col0 = table % shape.cols * shape.table_cols;
  const int64_t row1 = std::min(weights.rows, row0 + shape.table_rows);
  const int64_t col1 = std::min(weights.cols, col0 + shape.table_cols);
  std::vector<int64_t> places;
  places.reserve(static_cast<size_t>((row1 - row0) * (col1 - col0)));
  for (int64_t r = row0; r < row1; ++r) {
    for (int64_t c = col0; c < col1; ++c) places.push_back(r * weights.cols + c);
  }
  return places;
}

BITLOOM_VECTOR_CLONES void count_above(const float* x, int64_t n, float bound, uint8_t* codes) {
  for (int64_t i = 0; i < n; ++i) codes[i] = static_cast<uint8_t>(codes[i] + (x[i] > bound ? 1 : 0));
}

BITLOOM_VECTOR_CLONES bool any_beyond_f16(const float* x, int64_t n) {
  int32_t beyond = 0;
  for (int64_t i = 0; i < n; ++i) beyond |= (x[i] > kMostF16) | (x[i] < -kMostF16);
  return beyond != 0;
}

/// A fitted table and the codes of its places.
struct Fit {
  CodebookColumn column;
  double error = 0;  // sum of (w - level)^2 over weights that are not reserved
};

Fit fit_table(const Weights& weights, const std::vector<int64_t>& places, int bits, const KMeansRounding& options) {
  std::vector<float> sorted;
  sorted.reserve(places.size());
  for (const int64_t i : places) {
    if (!weights.is_reserved(i)) sorted.push_back(weights.at(i));
  }
  if (sorted.empty()) sorted.push_back(0);
  std::sort(sorted.begin(), sorted.end());
  Fit fit;
  fit.column = {bits, {}, kmeans_levels(sorted, int64_t{1} << bits, options.iterations)};
  std::vector<float> values;
  values.reserve(places.size());
  for (const int64_t i : places) values.push_back(weights.at(i));
  fit.column.codes.resize(places.size());
  encode_levels(fit.column.table, values.data(), static_cast<int64_t>(values.size()), fit.column.codes.data());
  for (size_t i = 0; i < places.size(); ++i) {
    const double difference =
        static_cast<double>(values[i]) - static_cast<double>(fit.column.table[fit.column.codes[i]]);
    if (!weights.is_reserved(places[i])) fit.error += difference * difference;
  }
  return fit;
}

/// One run over a matrix.
class Run {
 public:
  Run(const std::string& name, const RowSource& w, const Storage& storage, const KMeansRounding& options,
      ThreadPool& threads)
      : storage_(storage),
        codebook_(storage.base.get<CodebookStorage>()),
        options_(options),
        threads_(threads),
        weights_{w.rows(), w.cols(), load_for_codebook(name, w, threads), {}},
        shape_(table_shape(codebook_, w.rows(), w.cols())) {
    const double all = static_cast<double>(w.rows()) * static_cast<double>(w.cols());
    reserve(weights_, static_cast<int64_t>(storage.side.outliers.most * all));
  }

  std::shared_ptr<const StoredMatrix> run(const std::string& name) {
    fit_all(widths());
    std::vector<std::vector<std::byte>> bytes =
        codebook_.share == Share::kColumn ? pack_columns(columns(), &threads_) : pack_rows();
    if (storage_.side.outliers.present()) {
      for (auto& part : pack_outliers(outliers(), weights_.rows)) bytes.push_back(std::move(part));
    }
    return stored_from_bytes(name, storage_, weights_.rows, weights_.cols, std::move(bytes));
  }

  /// Bits by table.
  std::vector<int> widths() {
    std::vector<int> widths(static_cast<size_t>(shape_.rows * shape_.cols), codebook_.bits());
    if (codebook_.whole()) return widths;
    fit_all(widths);
    widen_worst(widths);
    return widths;
  }

  RoundReport report(const StoredMatrix& matrix) const {
    RoundReport report;
    double error = 0, norm = 0;
    std::vector<float> row(static_cast<size_t>(weights_.cols));
    for (int64_t r = 0; r < weights_.rows; ++r) {
      matrix.decode_rows(r, r + 1, row.data());
      for (int64_t c = 0; c < weights_.cols; ++c) {
        const double w = weights_.at(r * weights_.cols + c), difference = w - row[static_cast<size_t>(c)];
        error += difference * difference, norm += w * w;
        report.max_abs_error = std::max(report.max_abs_error, std::abs(difference));
      }
    }
    report.weight_error = norm > 0 ? error / norm : 0;
    return report;
  }

 private:
  /// Tables whose width is not the one given are fitted anew.
  void fit_all(const std::vector<int>& widths) {
    fits_.resize(widths.size());
    threads_.parallel_for(static_cast<int64_t>(widths.size()), [&](int64_t t) {
      Fit& fit = fits_[static_cast<size_t>(t)];
      const int bits = widths[static_cast<size_t>(t)];
      if (fit.column.bits != bits) fit = fit_table(weights_, places_of(weights_, shape_, t), bits, options_);
    });
  }

  void widen_worst(std::vector<int>& widths) const {
    const auto count = static_cast<size_t>(codebook_.milli_bits % 1000 * weights_.cols / 1000);
    std::vector<size_t> order(fits_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return fits_[a].error > fits_[b].error; });
    for (size_t i = 0; i < count; ++i) ++widths[order[i]];
  }

  std::vector<CodebookColumn> columns() const {
    std::vector<CodebookColumn> columns;
    columns.reserve(fits_.size());
    for (const Fit& fit : fits_) columns.push_back(fit.column);
    return columns;
  }

  std::vector<std::vector<std::byte>> pack_rows() const {
    const int bits = codebook_.bits();
    std::vector<uint8_t> codes(weights_.values.size());
    std::vector<std::vector<std::byte>> parts(2);
    for (size_t t = 0; t < fits_.size(); ++t) {
      const CodebookColumn& table = fits_[t].column;
      const std::vector<int64_t> places = places_of(weights_, shape_, static_cast<int64_t>(t));
      for (size_t i = 0; i < places.size(); ++i) codes[static_cast<size_t>(places[i])] = table.codes[i];
      const size_t at = parts[1].size();
      parts[1].resize(at + 2 * table.table.size());
      encode_from_f32(DType::kF16, table.table.data(), static_cast<int64_t>(table.table.size()), parts[1].data() + at);
    }
    const int64_t row_bytes = bitstream_bytes(bits, weights_.cols);
    parts[0].resize(static_cast<size_t>(weights_.rows * row_bytes));
    for (int64_t r = 0; r < weights_.rows; ++r) {
      pack_bits(codes.data() + r * weights_.cols, weights_.cols, bits, parts[0].data() + r * row_bytes);
    }
    return parts;
  }

  /// What is left of the reserved weights when their base is taken away.
  std::vector<Outlier> outliers() const {
    std::vector<Outlier> all;
    for (size_t t = 0; t < fits_.size() && !weights_.reserved.empty(); ++t) {
      const std::vector<int64_t> places = places_of(weights_, shape_, static_cast<int64_t>(t));
      for (size_t i = 0; i < places.size(); ++i) {
        if (!weights_.is_reserved(places[i])) continue;
        const float base = fits_[t].column.table[fits_[t].column.codes[i]];
        all.push_back({places[i] / weights_.cols, places[i] % weights_.cols, weights_.at(places[i]) - base});
      }
    }
    return all;
  }

  const Storage& storage_;
  const CodebookStorage& codebook_;
  const KMeansRounding& options_;
  ThreadPool& threads_;
  Weights weights_;
  TableShape shape_;
  std::vector<Fit> fits_;  // by table
};

}  // namespace

void encode_levels(const std::vector<float>& levels, const float* x, int64_t n, uint8_t* codes) {
  constexpr int64_t kChunk = 4096;  // stays in the first cache over all levels
  std::fill(codes, codes + n, uint8_t{0});
  for (int64_t at = 0; at < n; at += kChunk) {
    const int64_t count = std::min(kChunk, n - at);
    for (size_t k = 1; k < levels.size(); ++k) {
      count_above(x + at, count, (levels[k - 1] + levels[k]) / 2, codes + at);
    }
  }
}

namespace {

constexpr size_t kFewLevels = 16;
constexpr int64_t kLanes = 16;
using Floats = float __attribute__((vector_size(4 * kLanes)));
using Places = int32_t __attribute__((vector_size(4 * kLanes)));
using Codes = uint8_t __attribute__((vector_size(kLanes)));

/// What stands for each level: sum m and sum m x over the codes that are it, every sixteenth in a lane of its own.
struct LaneSums {
  float mass[kFewLevels][kLanes], sum[kFewLevels][kLanes];
};

/// codes [n] of x by the bounds between kLevels levels, and what stands for each; n a multiple of kLanes.
template <size_t kLevels>
[[gnu::always_inline]] inline void encode_and_add(const float* bounds, const float* x, const float* masses, int64_t n,
                                                  uint8_t* codes, LaneSums& sums) {
  Floats mass[kLevels] = {}, sum[kLevels] = {};
  for (int64_t i = 0; i < n; i += kLanes) {
    Floats m, value;
    __builtin_memcpy(&m, masses + i, sizeof m), __builtin_memcpy(&value, x + i, sizeof value);
    Places code = {};
#pragma GCC unroll 15
    for (size_t k = 0; k + 1 < kLevels; ++k) code -= value > bounds[k];  // true is -1
    const Codes bytes = __builtin_convertvector(code, Codes);
    __builtin_memcpy(codes + i, &bytes, sizeof bytes);
    const Floats product = value * m;
#pragma GCC unroll 16
    for (size_t k = 0; k < kLevels; ++k) {
      const Places own = code == static_cast<int32_t>(k);
      mass[k] += own ? m : Floats{};
      sum[k] += own ? product : Floats{};
    }
  }
  for (size_t k = 0; k < kLevels; ++k) {
    __builtin_memcpy(sums.mass[k], &mass[k], sizeof mass[k]);
    __builtin_memcpy(sums.sum[k], &sum[k], sizeof sum[k]);
  }
}

BITLOOM_VECTOR_CLONES void encode_and_add_4(const float* bounds, const float* x, const float* masses, int64_t n,
                                            uint8_t* codes, LaneSums& sums) {
  encode_and_add<4>(bounds, x, masses, n, codes, sums);
}
BITLOOM_VECTOR_CLONES void encode_and_add_8(const float* bounds, const float* x, const float* masses, int64_t n,
                                            uint8_t* codes, LaneSums& sums) {
  encode_and_add<8>(bounds, x, masses, n, codes, sums);
}
BITLOOM_VECTOR_CLONES void encode_and_add_16(const float* bounds, const float* x, const float* masses, int64_t n,
                                             uint8_t* codes, LaneSums& sums) {
  encode_and_add<16>(bounds, x, masses, n, codes, sums);
}

/// encode_and_move() of few levels where every weight has a mass.
void encode_and_move_few(const float* x, const std::vector<float>& masses, std::vector<float>& levels,
                         std::vector<uint8_t>& codes) {
  float bounds[kFewLevels - 1];
  for (size_t k = 0; k + 1 < kFewLevels; ++k) {
    bounds[k] = k + 1 < levels.size() ? (levels[k] + levels[k + 1]) / 2 : std::numeric_limits<float>::infinity();
  }
  LaneSums sums;
  const auto n = static_cast<int64_t>(codes.size()), whole = n / kLanes * kLanes;
  const auto encode = levels.size() <= 4 ? encode_and_add_4 : levels.size() <= 8 ? encode_and_add_8 : encode_and_add_16;
  encode(bounds, x, masses.data(), whole, codes.data(), sums);
  encode_levels(levels, x + whole, n - whole, codes.data() + whole);
  for (int64_t r = whole; r < n; ++r) {
    const auto i = static_cast<size_t>(r);
    sums.mass[codes[i]][0] += masses[i];
    sums.sum[codes[i]][0] += masses[i] * x[r];
  }
  for (size_t k = 0; k < levels.size(); ++k) {
    double mass = 0, sum = 0;
    for (int64_t l = 0; l < kLanes; ++l) {
      mass += static_cast<double>(sums.mass[k][l]), sum += static_cast<double>(sums.sum[k][l]);
    }
    if (mass > 0) levels[k] = finite_f16(static_cast<float>(sum / mass));
  }
}

/// out = the level of each code; 16 levels may be read. n a multiple of kLanes.
BITLOOM_VECTOR_CLONES void look_up_levels(const float* levels, const uint8_t* codes, int64_t n, float* out) {
  Floats table;
  __builtin_memcpy(&table, levels, sizeof table);
  for (int64_t i = 0; i < n; i += kLanes) {
    Codes bytes;
    __builtin_memcpy(&bytes, codes + i, sizeof bytes);
    const Floats own = __builtin_shuffle(table, __builtin_convertvector(bytes, Places));
    __builtin_memcpy(out + i, &own, sizeof own);
  }
}

}  // namespace

void decode_levels(const std::vector<float>& levels, const uint8_t* codes, int64_t n, float* out) {
  int64_t i = 0;
  if (levels.size() <= kFewLevels) {
    float table[kFewLevels] = {};
    std::copy(levels.begin(), levels.end(), table);
    look_up_levels(table, codes, i = n / kLanes * kLanes, out);
  }
  for (; i < n; ++i) out[i] = levels[codes[i]];
}

void encode_and_move(const float* x, const std::vector<float>& masses, const std::vector<uint8_t>& left_out,
                     std::vector<float>& levels, std::vector<uint8_t>& codes) {
  if (levels.size() <= kFewLevels && !masses.empty() && left_out.empty()) {
    return encode_and_move_few(x, masses, levels, codes);
  }
  encode_levels(levels, x, static_cast<int64_t>(codes.size()), codes.data());
  move_levels(x, codes, masses, left_out, levels);
}

void move_levels(const float* x, const std::vector<uint8_t>& codes, const std::vector<float>& masses,
                 const std::vector<uint8_t>& left_out, std::vector<float>& levels) {
  constexpr size_t kRuns = 4;  // sums that do not wait for each other
  struct Sums {
    double mass = 0, sum = 0;
  };
  std::vector<std::array<Sums, kRuns>> all(levels.size());
  for (size_t r = 0; r < codes.size(); ++r) {
    const double mass = !left_out.empty() && left_out[r] != 0 ? 0.0
                        : masses.empty()                      ? 1.0
                                                              : static_cast<double>(masses[r]);
    Sums& own = all[codes[r]][r % kRuns];
    own.mass += mass, own.sum += mass * static_cast<double>(x[r]);
  }
  for (size_t k = 0; k < levels.size(); ++k) {
    const auto& s = all[k];
    const double mass = (s[0].mass + s[1].mass) + (s[2].mass + s[3].mass);
    const double sum = (s[0].sum + s[1].sum) + (s[2].sum + s[3].sum);
    if (mass > 0) levels[k] = finite_f16(static_cast<float>(sum / mass));
  }
}

std::vector<float> kmeans_levels(const std::vector<float>& sorted, int64_t levels, int64_t iterations) {
  const SortedPoints points(sorted);
  std::vector<float> table;
  for (const double mean : cluster_means(points, fast_kmeans(points, levels, iterations))) {
    table.push_back(f16_to_f32(f32_to_f16(static_cast<float>(mean))));
  }
  return table;
}

std::vector<int> codebook_widths(const std::string& name, const RowSource& w, const Storage& storage,
                                 const KMeansRounding& options, ThreadPool& threads) {
  return Run(name, w, storage, options, threads).widths();
}

std::shared_ptr<const StoredMatrix> quantize_kmeans(const std::string& name, const RowSource& w, const Storage& storage,
                                                    const KMeansRounding& options, ThreadPool& threads,
                                                    RoundReport* report) {
  if (storage.base.get_if<CodebookStorage>() == nullptr) {
    misuse("{}: k-means makes codebooks, not {}", name, to_string(storage));
  }
  Run run(name, w, storage, options, threads);
  auto matrix = run.run(name);
  if (report != nullptr) *report = run.report(*matrix);
  return matrix;
}

Needs needs_of(const KMeansRounding&) { return {}; }

bool rounds_onto(const KMeansRounding&, const Storage& storage) {
  return storage.base.get_if<CodebookStorage>() != nullptr && storage.side == SideTerms{};
}

Storage storage_by(const KMeansRounding& options, Storage wanted) {
  wanted.side.outliers.most = options.outliers;
  return wanted;
}

void visit_for_codebook(const std::string& name, const RowSource& w, ThreadPool& threads, const RowsVisit& visit) {
  TileReader(name, w, 1, threads).for_each([&](int64_t, int64_t first, int64_t rows, const float* tile) {
    const int64_t count = rows * w.cols();
    if (any_beyond_f16(tile, count)) {
      const int64_t i = std::find_if(tile, tile + count, [](float x) { return std::abs(x) > kMostF16; }) - tile;
      refuse("{}: weight [{}, {}] is {}, beyond fp16, in which codebooks are stored", name, first + i / w.cols(),
             i % w.cols(), tile[i]);
    }
    visit(first, rows, tile);
  });
}

std::vector<float> load_for_codebook(const std::string& name, const RowSource& w, ThreadPool& threads) {
  std::vector<float> values(static_cast<size_t>(w.rows() * w.cols()));
  visit_for_codebook(name, w, threads, [&](int64_t first, int64_t rows, const float* tile) {
    std::copy(tile, tile + rows * w.cols(), values.begin() + first * w.cols());
  });
  return values;
}

double kmeans_work(const RoundingShape& shape) {
  return 25 * static_cast<double>(shape.rows) * static_cast<double>(shape.cols);
}

/// All weights are held in fp32, with a code and a mark for each, and their order when some are reserved.
RoundingCost cost_of(const KMeansRounding& options, const RoundingShape& shape) {
  return {.nearest = kmeans_work(shape), .bytes = shape.rows * shape.cols * (options.outliers > 0 ? 14 : 5)};
}

Rounded round_by(const KMeansRounding& options, const RoundingProblem& problem) {
  Rounded result;
  result.matrix = quantize_kmeans(problem.place, problem.weights, storage_by(options, problem.target.storage), options,
                                  problem.threads, &result.report);
  return result;
}

namespace {

constexpr Option kOptions[] = {
    number_option<&KMeansRounding::iterations>("iterations", 0, 10000, "turns of Lloyd's algorithm at most"),
    number_option<&KMeansRounding::outliers>("outliers", 0, 0.5,
                                             "share of the weights kept in fp16 beside the codebook"),
};

}  // namespace

constinit const RoundingRow kKMeansMethod = rounding_row<KMeansRounding>(
    "kmeans", kOptions, "codebooks with the least squared error (codebook3-col, ...)", "codebooks by k-means");

}  // namespace bitloom
