// 64 rows at a time, in lanes of 32 bits: four weights of a row, plus 128, as vpdpbusd takes them. They are multiplied
// as they are decoded, or, for several tokens, decoded to the cache and then multiplied with each plane of each token.
// A lane's weights are those of four columns that follow each other, or, where codes are bytes, of every fourth of
// sixteen: then a look-up has one coordinate of four vectors.

#include <immintrin.h>

#include "kernels/block_vector_dot/block_tile.h"
#include "kernels/run_digits.h"

namespace bitloom {
namespace {

constexpr int64_t kRows = 64, kLanes = 16;
constexpr int64_t kQuads = BlockRuns::kLongest / 4;
constexpr char kOffset = static_cast<char>(0x80);

/// Of a run: [quad][quarter of the rows][lane][4]
struct Weights {
  alignas(64) uint8_t of[kQuads][4][64];
};

/// Rows [first, first + count) of a tile, 64 but at its end, in the columns of a run.
struct Piece {
  const BlockTile& tile;
  int64_t first, count;  // rows of the tile
  int64_t block;         // of columns
  int64_t begin, end;    // vectors
};

/// Codes of vector j, of which `bytes` are the piece's; zeros for the rows and vectors that are not there.
template <int kBytes>
__m512i load_codes(const Piece& piece, int64_t j, int64_t at, int64_t bytes) {
  static_assert(kBytes == 16 || kBytes == 32 || kBytes == 64);
  if (j >= piece.end) return _mm512_setzero_si512();
  const std::byte* from = piece.tile.codes + j * piece.tile.stride + at;
  _mm_prefetch(reinterpret_cast<const char*>(from + (piece.end - piece.begin) * piece.tile.stride), _MM_HINT_T1);
  if (bytes < kBytes) return _mm512_maskz_loadu_epi8((__mmask64{1} << bytes) - 1, from);
  if constexpr (kBytes == 16) {
    return _mm512_zextsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  } else if constexpr (kBytes == 32) {
    return _mm512_zextsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  } else {
    return _mm512_loadu_si512(from);
  }
}

/// Vectors of 1 or 2 weights, a code of two bits a weight: the codebooks of sixteen rows are 64 bytes at most, so that
/// a weight is one look-up (vpermb), by code, coordinate and row block.
template <int kGroup>
class SmallBooks {
 public:
  static constexpr int kBits = 2 * kGroup, kParts = 4 / kGroup, kPartBytes = 8 * kBits, kBookBytes = kGroup << kBits;
  static constexpr bool kStrided = false;
  static bool serves(const BlockVectorRows& w) {
    return w.bits == kBits && w.group == kGroup && kBookBytes * (kLanes / std::min(kLanes, w.height)) <= 64;
  }

  explicit SmallBooks(const BlockVectorRows& w) : w_(w) {
    alignas(64) uint8_t order[64], offsets[64];
    alignas(64) uint32_t turns[kLanes];
    for (uint32_t i = 0; i < 64; ++i) {
      const uint32_t row = i / 4, column = i % 4;
      order[i] = static_cast<uint8_t>(column / kGroup * kPartBytes + row * kBits / 8);
      offsets[i] = static_cast<uint8_t>(column % kGroup + row / w.height * kBookBytes);
      turns[row] = (row * kBits % 8 + 32 - kGroup / 2) % 32;  // the code to above the coordinate
    }
    order_ = _mm512_load_si512(order), offsets_ = _mm512_load_si512(offsets), turns_ = _mm512_load_si512(turns);
  }

  static int64_t row_of(int64_t slot) { return slot; }

  /// to(quad, quarter of the rows, lanes) of all.
  template <typename To>
  void decode(const Piece& piece, const To& to) {
    __m512i tables[4], orders[4];
    for (int v = 0; v < 4; ++v) {
      tables[v] = table(piece, v);
      orders[v] = _mm512_add_epi8(order_, _mm512_set1_epi8(static_cast<char>(v * kLanes * kBits / 8)));
    }
    const __m512i mask = _mm512_set1_epi8(((1 << kBits) - 1) * kGroup);
    const int64_t at = piece.first * kBits / 8, bytes = (piece.count * kBits + 7) / 8;
    int64_t quad = 0;
    for (int64_t j = piece.begin; j < piece.end; j += kParts, ++quad) {
      __m512i codes = load_codes<kPartBytes>(piece, j, at, bytes);
      if constexpr (kParts == 4) {
        codes = _mm512_inserti32x4(codes, _mm512_castsi512_si128(load_codes<kPartBytes>(piece, j + 1, at, bytes)), 1);
        codes = _mm512_inserti32x4(codes, _mm512_castsi512_si128(load_codes<kPartBytes>(piece, j + 2, at, bytes)), 2);
        codes = _mm512_inserti32x4(codes, _mm512_castsi512_si128(load_codes<kPartBytes>(piece, j + 3, at, bytes)), 3);
      } else {
        codes = _mm512_inserti64x4(codes, _mm512_castsi512_si256(load_codes<kPartBytes>(piece, j + 1, at, bytes)), 1);
      }
      for (int v = 0; v < 4; ++v) {
        const __m512i turned = _mm512_rorv_epi32(_mm512_permutexvar_epi8(orders[v], codes), turns_);
        constexpr int kAndOr = 0xea;
        const __m512i index = _mm512_ternarylogic_epi64(turned, mask, offsets_, kAndOr);
        to(quad, v, _mm512_permutexvar_epi8(index, tables[v]));
      }
    }
  }

 private:
  /// Of rows 16 v to 16 v + 15 of a piece.
  __m512i table(const Piece& piece, int v) const {
    alignas(64) std::byte bytes[64] = {};
    const int64_t first = piece.tile.first + piece.first + kLanes * v;
    std::byte* to = bytes;
    for (int64_t r = 0; r < kLanes && kLanes * v + r < piece.count; r += w_.height, to += kBookBytes) {
      std::memcpy(to, w_.codebooks + block_of(w_, first + r, piece.block) * kBookBytes, kBookBytes);
    }
    return _mm512_xor_si512(_mm512_load_si512(bytes), _mm512_set1_epi8(kOffset));
  }

  const BlockVectorRows& w_;
  __m512i order_, offsets_, turns_;
};

/// Vectors of 4 weights, codes of a byte, blocks of 64 rows or more: 256 bytes for each coordinate, a look-up in four
/// registers (vpermi2b). Codes of four vectors are brought together in a lane first.
class ByteBooks {
 public:
  static constexpr bool kStrided = true;
  static bool serves(const BlockVectorRows& w) { return w.bits == 8 && w.group == 4 && w.height >= kRows; }

  explicit ByteBooks(const BlockVectorRows& w) : w_(w) {}

  /// As unpacking by bytes and words inside lanes of 16 leaves them.
  static int64_t row_of(int64_t slot) { return slot % kLanes / 4 * 16 + slot / kLanes * 4 + slot % 4; }

  template <typename To>
  void decode(const Piece& piece, const To& to) {
    split(w_.codebooks + block_of(w_, piece.tile.first + piece.first, piece.block) * w_.book_bytes());
    for (int64_t j = piece.begin; j < piece.end; j += 4) {
      __m512i rows[4], codes[4];
      for (int i = 0; i < 4; ++i) rows[i] = load_codes<64>(piece, j + i, piece.first, piece.count);
      const __m512i low0 = _mm512_unpacklo_epi8(rows[0], rows[1]), high0 = _mm512_unpackhi_epi8(rows[0], rows[1]);
      const __m512i low1 = _mm512_unpacklo_epi8(rows[2], rows[3]), high1 = _mm512_unpackhi_epi8(rows[2], rows[3]);
      codes[0] = _mm512_unpacklo_epi16(low0, low1), codes[1] = _mm512_unpackhi_epi16(low0, low1);
      codes[2] = _mm512_unpacklo_epi16(high0, high1), codes[3] = _mm512_unpackhi_epi16(high0, high1);
      __mmask64 upper[4];
      for (int v = 0; v < 4; ++v) upper[v] = _mm512_movepi8_mask(codes[v]);
      for (int c = 0; c < 4; ++c) {
        const uint8_t* plane = planes_[c];
        asm("" : "+r"(plane) : "r"(j));  // loaded each time: sixteen registers of tables would displace the sums
        const __m512i a = _mm512_load_si512(plane), b = _mm512_load_si512(plane + 64);
        const __m512i d = _mm512_load_si512(plane + 128), e = _mm512_load_si512(plane + 192);
        for (int v = 0; v < 4; ++v) {
          const __m512i found = _mm512_mask_blend_epi8(upper[v], _mm512_permutex2var_epi8(a, codes[v], b),
                                                       _mm512_permutex2var_epi8(d, codes[v], e));
          to(j - piece.begin + c, v, found);
        }
      }
    }
  }

 private:
  /// Coordinates apart, plus 128; blocks may be higher than pieces.
  void split(const std::byte* book) {
    if (book == book_) return;
    book_ = book;
    alignas(64) uint8_t order[64];
    for (int i = 0; i < 64; ++i) order[i] = static_cast<uint8_t>(i % 16 * 4 + i / 16);
    const __m512i by_coordinate = _mm512_load_si512(order);
    for (int k = 0; k < 256; k += 16) {
      const __m512i sixteen = _mm512_xor_si512(_mm512_loadu_si512(book + 4 * k), _mm512_set1_epi8(kOffset));
      const __m512i split = _mm512_permutexvar_epi8(by_coordinate, sixteen);
      _mm_store_si128(reinterpret_cast<__m128i*>(planes_[0] + k), _mm512_castsi512_si128(split));
      _mm_store_si128(reinterpret_cast<__m128i*>(planes_[1] + k), _mm512_extracti32x4_epi32(split, 1));
      _mm_store_si128(reinterpret_cast<__m128i*>(planes_[2] + k), _mm512_extracti32x4_epi32(split, 2));
      _mm_store_si128(reinterpret_cast<__m128i*>(planes_[3] + k), _mm512_extracti32x4_epi32(split, 3));
    }
  }

  const BlockVectorRows& w_;
  const std::byte* book_ = nullptr;  // in planes_
  alignas(64) uint8_t planes_[4][256];
};

template <typename Books, int kPlanes>
class Loop {
 public:
  explicit Loop(const BlockVectorDotCall& call)
      : call_(call), w_(call.w), runs_(w_), books_(w_), x_(runs_.count, runs_.length, call.scratch) {}

  void run() {
    for (int64_t t = 0; t < call_.tokens; ++t) {
      for (int64_t i = 0; i < runs_.count; ++i) {
        if (runs_.size(i) > 0) x_.round(call_.x + t * w_.cols + runs_.first(i), runs_.size(i), t, i);
      }
    }
    for (int64_t index = call_.first; index < call_.last; ++index) tile(BlockTile(w_, index));
  }

 private:
  using Digits = RunDigits<kPlanes, false>;

  /// Of 64 rows in a run.
  struct Products {
    __m512i of[kPlanes][4];

    Products(const Digits& x, int64_t token, int64_t run) {
      for (int p = 0; p < kPlanes; ++p) {
        for (__m512i& lanes : of[p]) lanes = _mm512_set1_epi32(-128 * x.sum(token, run, p));
      }
    }
    void add(const int32_t (&x)[kPlanes][kQuads], int64_t quad, int v, __m512i four) {
      for (int p = 0; p < kPlanes; ++p) of[p][v] = _mm512_dpbusd_epi32(of[p][v], four, _mm512_set1_epi32(x[p][quad]));
    }
    /// sums [64] += scales times these.
    void add_to(float* sums, const float* scales, float x_scale) const {
      for (int v = 0; v < 4; ++v) {
        __m512 total = _mm512_setzero_ps();
        for (int p = 0; p < kPlanes; ++p) {
          const __m512 factor = _mm512_set1_ps(Digits::weight(p) * x_scale);
          total = _mm512_fmadd_ps(factor, _mm512_cvtepi32_ps(of[p][v]), total);
        }
        float* to = sums + kLanes * v;
        _mm512_store_ps(to, _mm512_fmadd_ps(_mm512_load_ps(scales + kLanes * v), total, _mm512_load_ps(to)));
      }
    }
  };

  static constexpr int64_t kPieces = kBlockVectorTile / kRows;
  struct Sums {
    alignas(64) float of[kBlockVectorTokens][kPieces][kRows] = {};
  };

  void tile(const BlockTile& tile) {
    Sums sums;
    for (int64_t run = 0; run < runs_.count; ++run) {
      const int64_t size = runs_.size(run), begin = runs_.first(run) / w_.group;
      if (size == 0) continue;
      const int64_t vectors = (size + w_.group - 1) / w_.group;
      const int64_t quads = Books::kStrided ? (size + 15) / 16 * 4 : (size + 3) / 4;
      alignas(64) int32_t x[kBlockVectorTokens][kPlanes][kQuads];
      for (int64_t t = 0; t < call_.tokens; ++t) {
        for (int p = 0; p < kPlanes; ++p) arrange(x_.digits(t, run, p), quads, x[t][p]);
      }
      for (int64_t first = 0; first < tile.rows; first += kRows) {
        const Piece piece = {tile, first, std::min(kRows, tile.rows - first), runs_.block(run), begin, begin + vectors};
        alignas(64) float scales[kRows];
        read_scales(piece, scales);
        if (call_.tokens == 1) {
          Products products(x_, 0, run);
          add_decoded(piece, x[0], products);
          products.add_to(sums.of[0][first / kRows], scales, x_.scale(0, run));
          continue;
        }
        Weights weights;
        books_.decode(piece, [&](int64_t quad, int v, __m512i four) { _mm512_store_si512(weights.of[quad][v], four); });
        for (int64_t t = 0; t < call_.tokens; ++t) {
          Products products(x_, t, run);
          for (int64_t quad = 0; quad < quads; ++quad) {
            for (int v = 0; v < 4; ++v) products.add(x[t], quad, v, _mm512_load_si512(weights.of[quad][v]));
          }
          products.add_to(sums.of[t][first / kRows], scales, x_.scale(t, run));
        }
      }
    }
    for (int64_t t = 0; t < call_.tokens; ++t) {
      float* y = call_.y + t * call_.y_stride + tile.first;
      for (int64_t first = 0; first < tile.rows; first += kRows) {
        for (int64_t slot = 0; slot < kRows; ++slot) {
          const int64_t r = first + Books::row_of(slot);
          if (r < tile.rows) y[r] = sums.of[t][first / kRows][slot];
        }
      }
    }
  }

  /// A function of its own, for the sums to have registers.
  [[gnu::noinline]] void add_decoded(const Piece& piece, const int32_t (&x)[kPlanes][kQuads], Products& products) {
    Products sums = products;
    books_.decode(piece, [&](int64_t quad, int v, __m512i four) { sums.add(x, quad, v, four); });
    products = sums;
  }

  /// Digits as lanes have their columns.
  static void arrange(const int8_t* digits, int64_t quads, int32_t* x) {
    if (!Books::kStrided) {
      std::memcpy(x, digits, static_cast<size_t>(4 * quads));
      return;
    }
    const __m128i strides = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (int64_t i = 0; i < quads; i += 4) {
      const __m128i natural = _mm_loadu_si128(reinterpret_cast<const __m128i*>(digits + 4 * i));
      _mm_store_si128(reinterpret_cast<__m128i*>(x + i), _mm_shuffle_epi8(natural, strides));
    }
  }

  /// Of the slots' rows; 0 for those that are not there.
  void read_scales(const Piece& piece, float* scales) const {
    const int64_t first = piece.tile.first + piece.first;
    if (w_.height >= kRows) {
      const __m512 all = _mm512_set1_ps(block_scale(w_, block_of(w_, first, piece.block)));
      for (int64_t i = 0; i < kRows; i += kLanes) _mm512_store_ps(scales + i, all);
      return;
    }
    alignas(64) uint16_t halves[kRows] = {};
    for (int64_t slot = 0; slot < kRows; ++slot) {
      const int64_t r = Books::row_of(slot);
      if (r < piece.count) std::memcpy(halves + slot, w_.scales + 2 * block_of(w_, first + r, piece.block), 2);
    }
    for (int64_t i = 0; i < kRows; i += kLanes) {
      _mm512_store_ps(scales + i, _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(halves + i))));
    }
  }

  const BlockVectorDotCall& call_;
  const BlockVectorRows& w_;
  BlockRuns runs_;
  Books books_;
  Digits x_;
};

}  // namespace

void block_vector_dot_v256(const BlockVectorDotCall& call);

void block_vector_dot_avx512vbmi(const BlockVectorDotCall& call) {
  if (ByteBooks::serves(call.w)) {
    if (call.exact) {
      Loop<ByteBooks, 3>(call).run();
    } else {
      Loop<ByteBooks, 2>(call).run();
    }
  } else if (SmallBooks<2>::serves(call.w)) {  // two planes would be no faster
    Loop<SmallBooks<2>, 3>(call).run();
  } else if (SmallBooks<1>::serves(call.w)) {
    Loop<SmallBooks<1>, 3>(call).run();
  } else {
    block_vector_dot_v256(call);
  }
}

}  // namespace bitloom
