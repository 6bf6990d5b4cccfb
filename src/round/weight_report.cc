#include "round/weight_report.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace bitloom {

void measure_weights(const RowSource& w, const StoredMatrix& q, RoundReport& report) {
  std::vector<float> row(static_cast<size_t>(w.cols())), rounded(row.size());
  double error = 0, norm = 0, most = 0;
  for (int64_t r = 0; r < w.rows(); ++r) {
    w.decode_rows(r, r + 1, row.data());
    q.decode_rows(r, r + 1, rounded.data());
    for (size_t c = 0; c < row.size(); ++c) {
      const double off = static_cast<double>(row[c]) - static_cast<double>(rounded[c]);
      error += off * off, norm += static_cast<double>(row[c]) * static_cast<double>(row[c]);
      most = std::max(most, std::abs(off));
    }
  }
  report.weight_error = norm > 0 ? error / norm : 0;
  report.max_abs_error = most;
}

}  // namespace bitloom
