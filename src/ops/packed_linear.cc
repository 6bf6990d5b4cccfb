#include "ops/packed_linear.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <functional>

namespace bitloom {
namespace {

/// Weights of one piece: some microseconds of work, against tens of nanoseconds for taking the next piece.
constexpr int64_t kPieceWeights = 32768;

int64_t rows_per_piece(int64_t cols) {
  return std::max<int64_t>(4, kPieceWeights / std::max<int64_t>(1, cols) / 4 * 4);
}

}  // namespace

/// The products of one input, cut into pieces that follow each other reader by reader.
class Products {
 public:
  Products(std::span<const Reader> readers, const float* x, int64_t tokens, InputBlocks& blocks)
      : readers_(readers), step_(rows_per_piece(readers.front().w->cols())) {
    assert(readers.size() <= kMostReaders);
    blocks.begin(x, tokens, readers.front().w->cols());
    IntDotCall* call = calls_.data();
    for (const Reader& reader : readers) {
      const IntDotEntry& kernel = *reader.w->kernel_;
      const IntRows& w = call->w = reader.w->view_;
      assert(w.cols == readers.front().w->cols());
      call->tokens = tokens, call->x = x, call->x_stride = w.cols;
      call->y = reader.y, call->y_stride = reader.w->rows_;
      if (kernel.input != DotInput::kF32) {
        call->rounded = blocks.rounded(kernel.input, kernel.order);
        if (w.zeros != nullptr)
          call->group_sums =
              blocks.group_sums(kernel.input, kernel.order, w.group, static_cast<size_t>(call - calls_.data()));
      }
      pieces_ += pieces_of(reader), ++call;
    }
  }

  int64_t pieces() const { return pieces_; }

  void run(int64_t piece) const {
    const Reader* reader = readers_.data();
    for (; piece >= pieces_of(*reader); ++reader) piece -= pieces_of(*reader);
    IntDotCall call = calls_[static_cast<size_t>(reader - readers_.data())];
    call.first = piece * step_, call.last = std::min(call.first + step_, reader->w->rows_);
    reader->w->kernel_->kernel(call);
    if (reader->bias == nullptr) return;
    for (int64_t t = 0; t < call.tokens; ++t) {
      for (int64_t r = call.first; r < call.last; ++r) call.y[t * call.y_stride + r] += reader->bias[r];
    }
  }

 private:
  int64_t pieces_of(const Reader& reader) const { return (reader.w->rows_ + step_ - 1) / step_; }

  std::span<const Reader> readers_;
  int64_t step_, pieces_ = 0;
  std::array<IntDotCall, kMostReaders> calls_;
};

void apply(std::span<const Reader> readers, const float* x, int64_t tokens, InputBlocks& blocks, ThreadPool& threads) {
  const Products products(readers, x, tokens, blocks);
  const auto run = [&products](int64_t piece) { products.run(piece); };
  threads.parallel_for(products.pieces(), run);
}

}  // namespace bitloom
