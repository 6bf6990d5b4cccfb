#include "round/output_error.h"

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/simd/vector_clones.h"
#include "linalg/gemm.h"

namespace bitloom {
namespace {

constexpr int64_t kTile = SecondMoment::kTile;
constexpr int64_t kRows = 512;

BITLOOM_VECTOR_CLONES void scale_to_float(const double* in, int64_t n, double factor, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(in[i] * factor);
}

/// sum a b over n, in eight partial sums of double.
BITLOOM_VECTOR_CLONES double dot(const float* a, const float* b, int64_t n) {
  double sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int64_t lane = 0; lane < 8; ++lane) {
      sums[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
    }
  }
  for (; i < n; ++i) sums[0] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

/// tr(E H E^T) of E [rows, d]: per pair of tiles i <= j of channels, sum of (E_i H_ij) o E_j, twice off the diagonal.
double energy_of(const float* e, int64_t rows, const SecondMoment& moment) {
  const int64_t d = moment.channels();
  const double per_token = 1 / static_cast<double>(std::max<int64_t>(moment.tokens(), 1));
  std::unique_ptr<float[]> tile(new float[kTile * kTile]), product(new float[static_cast<size_t>(rows * kTile)]);
  const double* sums = moment.tiles().data();
  double total = 0;
  for (int64_t j = 0; j < d; j += kTile) {
    for (int64_t i = 0; i <= j; i += kTile, sums += kTile * kTile) {
      const int64_t height = std::min(kTile, d - i), width = std::min(kTile, d - j);
      scale_to_float(sums, kTile * kTile, per_token, tile.get());
      sgemm(Transpose::kNo, Transpose::kNo, rows, width, height, 1.0f, e + i, d, tile.get(), kTile, 0.0f, product.get(),
            kTile);
      double sum = 0;
      for (int64_t r = 0; r < rows; ++r) sum += dot(product.get() + r * kTile, e + r * d + j, width);
      total += i == j ? sum : 2 * sum;
    }
  }
  return total;
}

/// Calls load(first row, end row, out) for tiles of rows; sums their energies in the order of rows.
template <typename Load>
double sum_over_tiles(int64_t rows, const SecondMoment& moment, ThreadPool& threads, const Load& load) {
  std::vector<double> parts(static_cast<size_t>((rows + kRows - 1) / kRows));
  threads.parallel_for(static_cast<int64_t>(parts.size()), [&](int64_t t) {
    const int64_t first = t * kRows, end = std::min(rows, first + kRows);
    std::unique_ptr<float[]> e(new float[static_cast<size_t>((end - first) * moment.channels())]);
    load(first, end, e.get());
    parts[static_cast<size_t>(t)] = energy_of(e.get(), end - first, moment);
  });
  double total = 0;
  for (const double part : parts) total += part;
  return total;
}

void check_channels(const RowSource& w, const SecondMoment& moment) {
  if (w.cols() != moment.channels()) {
    fail(ErrorKind::kFailed, "a matrix of {} columns, but the statistics have {} channels", w.cols(),
         moment.channels());
  }
}

/// Some rows of a matrix.
class RowsBetween final : public RowSource {
 public:
  RowsBetween(const RowSource& all, RankShare rows) : all_(all), rows_(rows) {}
  int64_t rows() const override { return rows_.end - rows_.begin; }
  int64_t cols() const override { return all_.cols(); }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    all_.decode_rows(rows_.begin + begin, rows_.begin + end, out);
  }
  int64_t stored_bytes() const override { return all_.stored_bytes(); }
  std::string storage() const override { return all_.storage(); }

 private:
  const RowSource& all_;
  RankShare rows_;
};

}  // namespace

double output_energy(const RowSource& w, const SecondMoment& moment, ThreadPool& threads) {
  check_channels(w, moment);
  return sum_over_tiles(w.rows(), moment, threads,
                        [&](int64_t first, int64_t end, float* out) { w.decode_rows(first, end, out); });
}

double output_error(const RowSource& w, const RowSource& q, const SecondMoment& moment, ThreadPool& threads) {
  check_channels(w, moment);
  if (q.rows() != w.rows() || q.cols() != w.cols()) {
    fail(ErrorKind::kFailed, "matrices of [{}, {}] and [{}, {}] have no difference", w.rows(), w.cols(), q.rows(),
         q.cols());
  }
  return sum_over_tiles(w.rows(), moment, threads, [&](int64_t first, int64_t end, float* out) {
    std::vector<float> decoded(static_cast<size_t>((end - first) * w.cols()));
    w.decode_rows(first, end, out);
    q.decode_rows(first, end, decoded.data());
    for (size_t i = 0; i < decoded.size(); ++i) out[i] -= decoded[i];
  });
}

std::optional<double> relative_output_error(const RowSource& w, const RowSource& q, const SecondMoment& moment,
                                            Ranks& ranks, ThreadPool& threads) {
  const RankShare rows = share_of(ranks, w.rows());
  const RowsBetween some_w(w, rows), some_q(q, rows);
  std::array<double, 2> sums = {output_error(some_w, some_q, moment, threads), output_energy(some_w, moment, threads)};
  ranks.sum_in_rank_order(std::span<double>(sums));
  if (sums[1] > 0) return sums[0] / sums[1];
  return std::nullopt;
}

}  // namespace bitloom
