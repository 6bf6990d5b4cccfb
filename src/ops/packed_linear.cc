#include "ops/packed_linear.h"

#include <algorithm>
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
    const int64_t cols = readers.front().w->cols();
    call_.tokens = tokens, call_.x = x, call_.x_stride = cols;
    bool rounded = false;
    for (const Reader& reader : readers) {
      assert(reader.w->cols() == cols);
      pieces_ += pieces_of(reader);
      rounded = rounded || reader.w->kernel_->input == DotInput::kInt8;
    }
    if (!rounded) return;
    blocks.round(x, tokens, cols);
    call_.x8 = blocks.values(), call_.block_scales = blocks.scales(), call_.x8_stride = blocks.stride();
  }

  int64_t pieces() const { return pieces_; }

  void run(int64_t piece) const {
    const Reader* reader = readers_.data();
    for (; piece >= pieces_of(*reader); ++reader) piece -= pieces_of(*reader);
    IntDotCall call = call_;
    call.w = reader->w->view_;
    call.first = piece * step_, call.last = std::min(call.first + step_, reader->w->rows_);
    call.y = reader->y, call.y_stride = reader->w->rows_;
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
  IntDotCall call_;
};

void apply(std::span<const Reader> readers, const float* x, int64_t tokens, InputBlocks& blocks, ThreadPool& threads) {
  const Products products(readers, x, tokens, blocks);
  const auto run = [&products](int64_t piece) { products.run(piece); };
  threads.parallel_for(products.pieces(), run);
}

}  // namespace bitloom
