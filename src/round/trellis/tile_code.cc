#include "round/trellis/tile_code.h"

#include <algorithm>
#include <cmath>

#include "format/families/trellis/trellis_matrix.h"
#include "format/families/vector/e8p.h"
#include "round/lattice/e8p_search.h"
#include "round/lattice/nearest_point.h"
#include "round/trellis/viterbi.h"

namespace bitloom {
namespace {

constexpr int64_t kSide = kTrellisTileSide;

class TrellisTiles final : public TileCode {
 public:
  TrellisTiles(const TrellisStorage& storage, int64_t rows, int64_t cols, int threads)
      : storage_(storage), rows_(rows), cols_(cols) {
    const TrellisSearchEntry& kernel = find_trellis_search(best_isa());
    for (int t = 0; t < threads; ++t) encoders_.emplace_back(storage.code, kernel);
  }

  double units() const override { return storage_.code.units(); }

  void encode(int thread, const float* w, float scale, uint16_t* words, float* decoded) override {
    float x[kTrellisTile];
    const float inverse = scale > 0 ? 1 / scale : 0;
    for (int i = 0; i < kTrellisTile; ++i) {
      const TrellisPlace at = trellis_place(storage_.code, i);
      x[i] = w[at.row * kSide + at.col] * inverse;
    }
    encoders_[static_cast<size_t>(thread)].encode(x, words);
    int16_t values[kTrellisTile];
    decode_trellis_tile(storage_.code, words, 1, values);
    for (int i = 0; i < kTrellisTile; ++i) {
      const TrellisPlace at = trellis_place(storage_.code, i);
      decoded[at.row * kSide + at.col] = scale * static_cast<float>(values[i]);
    }
  }

  std::vector<std::vector<std::byte>> pack(std::span<const uint16_t> words, float scale) const override {
    return pack_trellis(storage_, rows_, cols_, words, scale);
  }

 private:
  TrellisStorage storage_;
  int64_t rows_, cols_;
  std::vector<TrellisEncoder> encoders_;
};

/// A tile is 8 points, one of each row.
class E8pTiles final : public TileCode {
 public:
  E8pTiles(int64_t rows, int64_t cols) : table_(e8p_table()), rows_(rows), cols_(cols) {}

  double units() const override { return 4 * kE8pUnits; }  // codes decode to quarters

  void encode(int, const float* w, float scale, uint16_t* words, float* decoded) override {
    const float inverse = scale > 0 ? 1 / (4 * scale) : 0;
    for (int64_t r = 0; r < kE8pGroup; ++r, w += kE8pGroup, decoded += kE8pGroup) {
      float x[kE8pGroup];
      for (int64_t i = 0; i < kE8pGroup; ++i) x[i] = w[i] * inverse;
      words[r] = search_.find(x);
      decode_e8p(table_, words[r], decoded);
      for (int64_t i = 0; i < kE8pGroup; ++i) decoded[i] *= scale;
    }
  }

  std::vector<std::vector<std::byte>> pack(std::span<const uint16_t> words, float scale) const override {
    const int64_t across = (cols_ + kE8pGroup - 1) / kE8pGroup;
    std::vector<uint16_t> codes;
    codes.reserve(static_cast<size_t>(rows_ * across));
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t j = 0; j < across; ++j) {
        codes.push_back(words[static_cast<size_t>((r / kE8pGroup * across + j) * kE8pGroup + r % kE8pGroup)]);
      }
    }
    return pack_e8p(codes, scale);
  }

 private:
  const E8pTable& table_;
  int64_t rows_, cols_;
  E8pSearch search_;
};

const TrellisCode* trellis_of(const Storage& storage) {
  const auto* trellis = storage.base.get_if<TrellisStorage>();
  return trellis == nullptr ? nullptr : &trellis->code;
}

/// An edge of Viterbi's search is a fiftieth of a weight rounded to nearest (T6V2) or a thirty-fifth, of the
/// reference's three.
double viterbi_work(const TrellisCode& code) {
  const double edges = std::exp2(code.state_bits) * 2 / code.values;
  const double edge = code.fresh_bits(1) > kMostKernelBits ? 3 : code.values == 2 ? 1.0 / 50 : 1.0 / 35;
  return edges * edge;
}

}  // namespace

bool is_trellis_storage(const Storage& storage) {
  return trellis_of(storage) != nullptr && storage.side == SideTerms{};
}

bool is_tile_storage(const Storage& storage) { return is_trellis_storage(storage) || is_e8p(storage); }

std::unique_ptr<TileCode> make_tile_code(const Storage& storage, int64_t rows, int64_t cols, int threads) {
  if (const auto* trellis = storage.base.get_if<TrellisStorage>()) {
    return std::make_unique<TrellisTiles>(*trellis, rows, cols, threads);
  }
  return std::make_unique<E8pTiles>(rows, cols);
}

TileShape tile_shape(const Storage& storage, int64_t rows, int64_t cols) {
  if (const TrellisCode* code = trellis_of(storage)) {
    const TrellisLayout layout(*code, rows, cols);
    return {kSide, code->words(), layout.tile_rows(), layout.tile_cols()};
  }
  return {kE8pGroup, kE8pGroup, (rows + kE8pGroup - 1) / kE8pGroup, (cols + kE8pGroup - 1) / kE8pGroup};
}

double tile_search_work(const Storage& storage, int64_t rows, int64_t cols) {
  const TrellisCode* code = trellis_of(storage);
  const double weight = code != nullptr ? viterbi_work(*code) : kE8pWork;
  return weight * static_cast<double>(rows) * static_cast<double>(cols);
}

int64_t tile_search_bytes(const Storage& storage) {
  const TrellisCode* code = trellis_of(storage);
  if (code == nullptr) return 0;
  const int64_t states = int64_t{1} << code->state_bits;
  return (code->steps() + 4) * (states >> code->fresh_bits(0));
}

}  // namespace bitloom
