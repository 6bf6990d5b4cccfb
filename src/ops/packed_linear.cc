#include "ops/packed_linear.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <functional>

namespace bitloom {
namespace {

/// Weights of a piece at least: half a microsecond of work or more, against tens of nanoseconds for taking the next.
constexpr int64_t kLeastPieceWeights = 16384;

/// Rows of one piece of many tokens: two panels, whose bytes stay in the second cache.
constexpr int64_t kGemmRows = 32;

/// Rows of the least piece, a multiple of those that kernels multiply together.
int64_t least_rows(int64_t cols, int64_t multiple) {
  const int64_t least = std::max<int64_t>(1, kLeastPieceWeights / std::max<int64_t>(1, cols));
  return (least + multiple - 1) / multiple * multiple;
}

/// Where threads take pieces in turn, a matrix has one for each. Kernels fetch ahead, so short ones would be fetched
/// twice: by the thread that has them and by the one before.
int64_t rows_per_piece(int64_t rows, int64_t cols, int64_t threads, int64_t multiple) {
  const int64_t of_each = ((rows + threads - 1) / threads + multiple - 1) / multiple * multiple;
  return std::max(of_each, least_rows(cols, multiple));
}

}  // namespace

IntDotCall PackedLinear::int_call(const float* x, int64_t tokens, size_t reader, InputBlocks& blocks) const {
  IntDotCall call;
  call.w = ints_;
  call.tokens = tokens, call.x = x, call.x_stride = ints_.cols, call.y_stride = rows_;
  if (int_kernel_->input == DotInput::kF32) return call;
  call.rounded = blocks.rounded(int_kernel_->input, int_kernel_->order);
  if (ints_.zeros != nullptr || has_minimums(int_kernel_->codes)) {
    call.group_sums = blocks.group_sums(int_kernel_->input, int_kernel_->order, ints_.group, reader);
  }
  return call;
}

bool PackedLinear::reads_as(const PackedLinear& other) const {
  const bool moves = frame_ && frame_->moves_input(), others = other.frame_ && other.frame_->moves_input();
  return moves && others ? frame_->has_input_of(*other.frame_) : moves == others;
}

void PackedLinear::add_low_rank(int64_t tokens, const float* z, float* y, ThreadPool& threads) const {
  const int64_t piece = rows_per_piece(rows_, rank() * tokens, threads.thread_count(), 64);
  threads.parallel_for((rows_ + piece - 1) / piece, [&](int64_t i) {
    low_rank_->add(i * piece, std::min(rows_, (i + 1) * piece), tokens, z, y, rows_);
  });
}

void PackedLinear::add_outliers(int64_t first, int64_t last, int64_t tokens, const float* x, float* y) const {
  if (outlier_kernel_ != nullptr) outlier_kernel_({outliers_, first, last, tokens, x, matrix_->cols(), y, rows_});
}

/// The readers' products, and those of their low-rank terms' inner factors.
constexpr size_t kMostProducts = 2 * kMostReaders;

/// The products of one input, cut into pieces that follow each other reader by reader.
class Products {
 public:
  Products(std::span<const Reader> readers, const float* x, int64_t tokens, InputBlocks& blocks, ThreadPool& threads,
           const float* scales)
      : readers_(readers), x_(x), tokens_(tokens), threads_(threads.thread_count()), blocks_(blocks) {
    assert(readers.size() <= kMostProducts);
    const int64_t cols = readers.front().w->cols();
    blocks.begin(x, tokens, cols, scales);
    int64_t scratch = 0;
    // What each call prepares, or unpacks, it should for many rows.
    in_shares_ = std::all_of(readers.begin(), readers.end(), [tokens](const Reader& reader) {
      return reader.w->family_ == nullptr && !reader.w->uses_gemm(tokens);
    });
    for (size_t i = 0; i < readers.size(); ++i) {
      assert(readers[i].w->cols() == cols && readers[i].w->serves(tokens));
      pieces_ += pieces_of(readers[i]);
      if (readers[i].w->uses_gemm(tokens) && readers[i].w->bf16_gemm_ != nullptr) {
        bf16_ = blocks.bf16(threads);
        scratch = std::max(scratch, bf16_gemm_scratch(cols));
        continue;
      }
      if (readers[i].w->uses_gemm(tokens)) {
        panels_ = blocks.panels(threads);
        const bool trellis = readers[i].w->trellis_gemm_ != nullptr;
        scratch = std::max(scratch, trellis ? kTrellisGemmScratch : panel_bytes(kGemmRows, cols));
        continue;
      }
      if (readers[i].w->int_kernel_ != nullptr) int_calls_[i] = readers[i].w->int_call(x, tokens, i, blocks);
      if (readers[i].w->family_ != nullptr) scratch = std::max(scratch, readers[i].w->family_->scratch_bytes());
      if (readers[i].w->trellis_kernel_ != nullptr) {
        rounded_[i] = blocks.rounded(readers[i].w->trellis_input_, InputOrder::kNatural);
      }
    }
    blocks.reserve_scratch(threads.thread_count(), scratch);
  }

  void run_all(ThreadPool& threads) const {
    if (in_shares_) {
      blocks_.shares().run(threads, pieces_,
                           [this](int64_t first, int64_t last, int thread) { run(first, last, thread); });
    } else {
      threads.parallel_for_thread(pieces_, [this](int64_t piece, int thread) { run(piece, piece + 1, thread); });
    }
  }

 private:
  /// Pieces [begin, end).
  void run(int64_t begin, int64_t end, int thread) const {
    for (const Reader& reader : readers_) {
      const int64_t count = pieces_of(reader);
      if (begin < count && end > 0) {
        run_rows(reader, std::max<int64_t>(begin, 0) * rows_of(reader), std::min(end, count) * rows_of(reader), thread);
      }
      begin -= count, end -= count;
    }
  }

  /// Rows [first, last), which begin a piece and end one or the matrix.
  void run_rows(const Reader& reader, int64_t first, int64_t last, int thread) const {
    const PackedLinear& w = *reader.w;
    const auto index = static_cast<size_t>(&reader - readers_.data());
    const int64_t* order = w.order_.empty() ? nullptr : w.order_.data();
    last = std::min(last, w.rows_);
    // Of trellis codes, super-tile rows.
    const int64_t first_super = first / kTrellisRows, last_super = (last + kTrellisRows - 1) / kTrellisRows;
    if (w.uses_gemm(tokens_)) {
      std::byte* scratch = blocks_.scratch(thread);
      if (w.bf16_gemm_ != nullptr) {
        w.bf16_gemm_->kernel({w.dense_, order, w.cols(), first, last, tokens_, bf16_, scratch, reader.y, w.rows_});
      } else if (w.trellis_gemm_ != nullptr) {
        w.trellis_gemm_->kernel({w.trellis_, first_super, last_super, tokens_, panels_, scratch, reader.y, w.rows_});
      } else {
        w.gemm_kernel_->kernel({w.ints_, first, last, tokens_, panels_, scratch, reader.y, w.rows_});
      }
    } else if (w.int_kernel_ != nullptr) {
      IntDotCall call = int_calls_[index];
      call.first = first, call.last = last, call.y = reader.y;
      w.int_kernel_->kernel(call);
    } else if (w.level_kernel_ != nullptr) {
      w.level_kernel_->kernel({w.level_rows_, first, last, tokens_, x_, reader.y, w.rows_});
    } else if (w.family_ != nullptr) {
      w.family_->run(first, last, tokens_, x_, reader.y, w.rows_, blocks_.scratch(thread));
    } else if (w.trellis_kernel_ != nullptr) {
      w.trellis_kernel_->kernel({w.trellis_, first_super, last_super, tokens_, rounded_[index],
                                 w.trellis_input_ == DotInput::kInt8 ? 1 : 3, reader.y, w.rows_});
    } else {
      w.dense_kernel_->kernel({w.dense_, order, w.cols(), first, last, tokens_, x_, reader.y, w.rows_});
    }
    w.add_outliers(first, last, tokens_, x_, reader.y);
    if (reader.bias == nullptr || w.frame_) return;
    for (int64_t t = 0; t < tokens_; ++t) {
      for (int64_t r = first; r < last; ++r) reader.y[t * w.rows_ + r] += reader.bias[r];
    }
  }

  int64_t rows_of(const Reader& reader) const {
    if (reader.w->trellis_kernel_ != nullptr) return kTrellisRows;
    if (reader.w->uses_gemm(tokens_) && reader.w->bf16_gemm_ != nullptr) return kBf16PieceRows;
    // A single block of tokens is as fast as memory: see rows_per_piece().
    if (reader.w->uses_gemm(tokens_) && tokens_ > kTokenBlock) return kGemmRows;
    const bool gemm = reader.w->uses_gemm(tokens_);
    const int64_t multiple = reader.w->family_ != nullptr ? reader.w->family_->row_multiple() : gemm ? kPanelRows : 8;
    if (in_shares_) return least_rows(reader.w->cols(), multiple);
    return rows_per_piece(reader.w->rows_, reader.w->cols(), threads_, multiple);
  }
  int64_t pieces_of(const Reader& reader) const { return (reader.w->rows_ + rows_of(reader) - 1) / rows_of(reader); }

  std::span<const Reader> readers_;
  const float* x_;
  int64_t tokens_, pieces_ = 0;
  int threads_;
  bool in_shares_ = false;  // threads have rows of their own that follow each other
  InputBlocks& blocks_;
  PanelInput panels_;
  Bf16Input bf16_;
  std::array<IntDotCall, kMostProducts> int_calls_;
  std::array<RoundedInput, kMostProducts> rounded_;
};

namespace {

/// Channels of all tokens that one thread moves sooner than others would come.
constexpr int64_t kFramesAlone = 4 * kFramePiece;

/// body(0), ..., body(n - 1), by all threads where they move many channels.
template <typename Body>
void for_frame_pieces(ThreadPool& threads, int64_t n, int64_t channels, const Body& body) {
  if (channels >= kFramesAlone) return threads.parallel_for(n, [&body](int64_t i) { body(i); });
  for (int64_t i = 0; i < n; ++i) body(i);
}

void enter_frame(const PackedFrame& frame, const float* x, int64_t tokens, int64_t cols, float* out,
                 ThreadPool& threads) {
  const int64_t piece = frame.in_piece(), pieces = (cols + piece - 1) / piece;
  for_frame_pieces(threads, tokens * pieces, tokens * cols, [&](int64_t i) {
    const int64_t t = i / pieces, first = i % pieces * piece;
    frame.enter(x + t * cols, first, std::min(first + piece, cols), out + t * cols);
  });
}

/// Of all readers that have one, then adds their biases.
void leave_frames(std::span<const Reader> readers, int64_t tokens, InputBlocks& blocks, ThreadPool& threads) {
  const auto pieces_of = [](const Reader& reader) {
    const int64_t piece = reader.w->frame()->out_piece();
    return (reader.w->rows() + piece - 1) / piece;
  };
  int64_t all = 0, channels = 0;
  for (const Reader& reader : readers) {
    if (reader.w->frame() == nullptr) continue;
    all += tokens * pieces_of(reader), channels += tokens * reader.w->rows();
  }
  if (all == 0) return;
  float* scratch = blocks.framed(channels);  // the input has been read
  for_frame_pieces(threads, all, channels, [&](int64_t i) {
    float* room = scratch;
    for (const Reader& reader : readers) {
      if (reader.w->frame() == nullptr) continue;
      const int64_t pieces = pieces_of(reader), rows = reader.w->rows();
      if (i >= tokens * pieces) {
        i -= tokens * pieces, room += tokens * rows;
        continue;
      }
      const int64_t t = i / pieces, first = i % pieces * reader.w->frame()->out_piece();
      const int64_t last = std::min(first + reader.w->frame()->out_piece(), rows);
      float* y = reader.y + t * rows;
      reader.w->frame()->leave(y, first, last, room + t * rows);
      for (int64_t r = first; r < last && reader.bias != nullptr; ++r) y[r] += reader.bias[r];
      return;
    }
  });
}

/// Readers whose kernels read one input.
void apply_alike(std::span<const Reader> readers, const float* x, int64_t tokens, InputBlocks& blocks,
                 ThreadPool& threads, const float* scales, bool inside) {
  const PackedFrame* frame = readers.front().w->frame();
  if (!inside && frame != nullptr && frame->moves_input()) {
    const int64_t cols = readers.front().w->cols();
    float* entered = blocks.framed(tokens * cols);
    enter_frame(*frame, x, tokens, cols, entered, threads);
    x = entered, scales = nullptr;
  }
  std::array<Reader, kMostProducts> all;
  size_t count = static_cast<size_t>(std::copy(readers.begin(), readers.end(), all.begin()) - all.begin());
  int64_t ranks = 0;
  for (const Reader& reader : readers) ranks += reader.w->rank();
  float* inner = blocks.inner(tokens * ranks);
  for (const Reader& reader : readers) {
    if (reader.w->rank() == 0) continue;
    all[count++] = {reader.w->inner_product(), nullptr, inner};
    inner += tokens * reader.w->rank();
  }
  const Products products({all.data(), count}, x, tokens, blocks, threads, scales);
  products.run_all(threads);
  size_t next = readers.size();
  for (const Reader& reader : readers) {
    if (reader.w->rank() > 0) reader.w->add_low_rank(tokens, all[next++].y, reader.y, threads);
  }
  leave_frames(readers, tokens, blocks, threads);
}

}  // namespace

void apply(std::span<const Reader> readers, const float* x, int64_t tokens, InputBlocks& blocks, ThreadPool& threads,
           const float* scales, bool inside) {
  while (!readers.empty()) {
    size_t count = 1;
    while (count < readers.size() && readers[0].w->reads_as(*readers[count].w)) ++count;
    apply_alike(readers.first(count), x, tokens, blocks, threads, scales, inside);
    readers = readers.subspan(count);
  }
}

}  // namespace bitloom
