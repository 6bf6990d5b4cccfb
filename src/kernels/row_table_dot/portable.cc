// The definition as plain loops.

#include <algorithm>

#include "base/memory/dtype.h"
#include "kernels/row_table_dot/row_table_dot.h"
#include "packing/bitstream.h"

namespace bitloom {

void row_table_dot_portable(const RowTableDotCall& call) {
  constexpr int64_t kChunk = 256;
  const RowTables& w = call.w;
  const int64_t levels = int64_t{1} << w.bits, groups = (w.cols + w.group - 1) / w.group;
  float table[256];
  uint8_t codes[kChunk];
  for (int64_t r = call.first; r < call.last; ++r) {
    const std::byte* row = w.codes + r * bitstream_bytes(w.bits, w.cols);
    for (int64_t t = 0; t < call.tokens; ++t) call.y[t * call.y_stride + r] = 0;
    for (int64_t g = 0; g < groups; ++g) {
      decode_to_f32(DType::kF16, w.tables, (r / w.table_rows * groups + g) * levels, levels, table);
      const int64_t end = std::min(w.cols, (g + 1) * w.group);
      for (int64_t c = g * w.group; c < end; c += kChunk) {
        const int64_t count = std::min(kChunk, end - c);
        unpack_bits(row, c, count, w.bits, codes);
        for (int64_t t = 0; t < call.tokens; ++t) {
          float sum = 0;
          for (int64_t i = 0; i < count; ++i) sum += table[codes[i]] * call.x[t * w.cols + c + i];
          call.y[t * call.y_stride + r] += sum;
        }
      }
    }
  }
}

}  // namespace bitloom
