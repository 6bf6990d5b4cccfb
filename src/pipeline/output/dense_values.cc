#include "pipeline/output/dense_values.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace bitloom {
namespace {

// Values decoded at a time by one thread: 1 MiB of fp32.
constexpr int64_t kPieceValues = 1 << 18;
// Pieces that encode_pieces holds at a time, whatever the number of threads.
constexpr int64_t kBatchPieces = 16;

/// A matrix cut into runs of whole rows, at least one row each.
class Pieces {
 public:
  explicit Pieces(const RowSource& rows)
      : rows_(rows.rows()),
        each_(std::clamp(kPieceValues / std::max<int64_t>(rows.cols(), 1), int64_t{1}, std::max<int64_t>(rows_, 1))) {}
  int64_t count() const { return (rows_ + each_ - 1) / each_; }
  int64_t rows_each() const { return each_; }
  int64_t begin(int64_t piece) const { return piece * each_; }
  int64_t end(int64_t piece) const { return std::min(rows_, begin(piece) + each_); }

 private:
  int64_t rows_, each_;
};

/// Calls body(piece, values) for every piece, on all threads.
void for_each_piece(const RowSource& rows, ThreadPool& threads,
                    const std::function<void(int64_t, std::span<const float>)>& body) {
  const Pieces pieces(rows);
  std::vector<std::vector<float>> scratch(static_cast<size_t>(threads.thread_count()));
  threads.parallel_for_thread(pieces.count(), [&](int64_t piece, int thread) {
    std::vector<float>& values = scratch[static_cast<size_t>(thread)];
    values.resize(static_cast<size_t>((pieces.end(piece) - pieces.begin(piece)) * rows.cols()));
    rows.decode_rows(pieces.begin(piece), pieces.end(piece), values.data());
    body(piece, values);
  });
}

bool fits_bf16(float x) { return (std::bit_cast<uint32_t>(x) & 0xFFFF) == 0; }
bool fits_f16(float x) { return std::bit_cast<uint32_t>(f16_to_f32(f32_to_f16(x))) == std::bit_cast<uint32_t>(x); }

}  // namespace

void require_finite(const std::string& place, const std::string& name, const RowSource& rows, ThreadPool& threads) {
  const Pieces pieces(rows);
  constexpr int64_t kNone = -1;
  std::vector<int64_t> first(static_cast<size_t>(pieces.count()), kNone);  // position of each piece's first bad value
  std::vector<float> found(first.size());
  for_each_piece(rows, threads, [&](int64_t piece, std::span<const float> values) {
    const auto bad = std::find_if(values.begin(), values.end(), [](float x) { return !std::isfinite(x); });
    if (bad == values.end()) return;
    first[static_cast<size_t>(piece)] = pieces.begin(piece) * rows.cols() + (bad - values.begin());
    found[static_cast<size_t>(piece)] = *bad;
  });
  for (size_t piece = 0; piece < first.size(); ++piece) {
    if (first[piece] == kNone) continue;
    refuse("{}: tensor '{}' holds {} at [{}, {}]; weights must be finite", place, name,
           std::isnan(found[piece]) ? "NaN" : "Inf", first[piece] / rows.cols(), first[piece] % rows.cols());
  }
}

DType narrowest_exact_dtype(const RowSource& rows, ThreadPool& threads) {
  std::atomic<bool> bf16 = true, f16 = true;
  for_each_piece(rows, threads, [&](int64_t, std::span<const float> values) {
    if (bf16 && !std::all_of(values.begin(), values.end(), fits_bf16)) bf16 = false;
    if (f16 && !std::all_of(values.begin(), values.end(), fits_f16)) f16 = false;
  });
  return bf16 ? DType::kBF16 : f16 ? DType::kF16 : DType::kF32;
}

void encode_pieces(const RowSource& rows, DType dtype, ThreadPool& threads,
                   const std::function<void(std::span<const std::byte>)>& write) {
  const Pieces pieces(rows);
  const size_t piece_values = static_cast<size_t>(pieces.rows_each() * rows.cols());
  std::vector<std::vector<float>> values(static_cast<size_t>(std::min(kBatchPieces, pieces.count())));
  std::vector<std::vector<std::byte>> bytes(values.size());
  for (int64_t start = 0; start < pieces.count(); start += kBatchPieces) {
    const int64_t batch = std::min(kBatchPieces, pieces.count() - start);
    threads.parallel_for(batch, [&](int64_t i) {
      const auto slot = static_cast<size_t>(i);
      const int64_t begin = pieces.begin(start + i), end = pieces.end(start + i);
      const int64_t count = (end - begin) * rows.cols();
      values[slot].resize(piece_values);
      bytes[slot].resize(static_cast<size_t>(bytes_of(dtype, count)));
      rows.decode_rows(begin, end, values[slot].data());
      encode_from_f32(dtype, values[slot].data(), count, bytes[slot].data());
    });
    for (int64_t i = 0; i < batch; ++i) write(bytes[static_cast<size_t>(i)]);
  }
}

}  // namespace bitloom
