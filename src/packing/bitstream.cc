#include "packing/bitstream.h"

#include <bit>
#include <cassert>
#include <cstring>

namespace bitloom {
namespace {

static_assert(std::endian::native == std::endian::little, "words are loaded and stored as little-endian bytes");

/// `field` low bits of every `lane`-bit lane of a word.
constexpr uint64_t lanes(int lane, int field) {
  uint64_t mask = 0;
  for (int at = 0; at < 64; at += lane) mask |= ((uint64_t{1} << field) - 1) << at;
  return mask;
}
/// As lanes(), of every second lane only, starting with the lowest.
constexpr uint64_t even_lanes(int lane, int field) { return lanes(2 * lane, field); }

template <int kCount>
constexpr uint64_t kLowBits = kCount == 64 ? ~uint64_t{0} : (uint64_t{1} << (kCount % 64)) - 1;

/// One halving of the gaps between fields: pairs of `field`-bit fields in `lane`-bit lanes become one field of twice
/// the width in a lane of twice the width.
template <int kLane, int kField>
uint64_t join(uint64_t x) {
  constexpr uint64_t kLow = even_lanes(kLane, kField);
  return (x & kLow) | ((x >> (kLane - kField)) & (kLow << kField));
}
/// The inverse of join.
template <int kLane, int kField>
uint64_t part(uint64_t x) {
  constexpr uint64_t kLow = even_lanes(kLane, kField);
  return (x & kLow) | ((x << (kLane - kField)) & (kLow << kLane));
}

/// Eight codes in the bytes of a word <-> the low 8 * kBits bits of a word.
template <int kBits>
uint64_t gather8(uint64_t codes) {
  if constexpr (kBits == 8) return codes;
  uint64_t x = join<8, kBits>(codes & lanes(8, kBits));
  x = join<16, 2 * kBits>(x);
  constexpr uint64_t kLow = (uint64_t{1} << (4 * kBits)) - 1;
  return (x & kLow) | ((x >> (32 - 4 * kBits)) & (kLow << (4 * kBits)));
}
template <int kBits>
uint64_t scatter8(uint64_t word) {
  if constexpr (kBits == 8) return word;
  constexpr uint64_t kLow = (uint64_t{1} << (4 * kBits)) - 1;
  uint64_t x = (word & kLow) | ((word << (32 - 4 * kBits)) & (kLow << 32));
  x = part<16, 2 * kBits>(x);
  return part<8, kBits>(x);
}

template <int kBits>
void pack(const uint8_t* codes, int64_t count, std::byte* out) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8, out += kBits) {
    uint64_t eight;
    std::memcpy(&eight, codes + i, 8);
    const uint64_t word = gather8<kBits>(eight);
    std::memcpy(out, &word, kBits);
  }
  if (i == count) return;
  uint64_t eight = 0;
  std::memcpy(&eight, codes + i, static_cast<size_t>(count - i));
  const uint64_t word = gather8<kBits>(eight);
  std::memcpy(out, &word, static_cast<size_t>(bitstream_bytes(kBits, count - i)));
}

/// Codes `first` .. `first + count - 1` of the eight that start at `bytes`, count <= 8 - first.
template <int kBits>
void unpack_some(const std::byte* bytes, int64_t first, int64_t count, uint8_t* out) {
  const int64_t begin = kBits * first / 8, end = (kBits * (first + count) + 7) / 8;
  uint64_t word = 0;
  std::memcpy(&word, bytes + begin, static_cast<size_t>(end - begin));
  const uint64_t eight = scatter8<kBits>(word << (8 * begin)) >> (8 * first);
  std::memcpy(out, &eight, static_cast<size_t>(count));
}

template <int kBits>
void unpack(const std::byte* row, int64_t first, int64_t count, uint8_t* out) {
  row += first / 8 * kBits;
  if (const int64_t skip = first % 8; skip != 0) {
    const int64_t head = count < 8 - skip ? count : 8 - skip;
    unpack_some<kBits>(row, skip, head, out);
    row += kBits, out += head, count -= head;
  }
  // Whole words while the rest of the run fills them: a load of 3, 5, 6 or 7 bytes goes through memory in pieces and is
  // several times slower.
  for (; kBits * count >= 64; count -= 8, row += kBits, out += 8) {
    uint64_t word;
    std::memcpy(&word, row, 8);
    const uint64_t eight = scatter8<kBits>(word & kLowBits<8 * kBits>);
    std::memcpy(out, &eight, 8);
  }
  for (; count >= 8; count -= 8, row += kBits, out += 8) {
    uint64_t word = 0;
    std::memcpy(&word, row, kBits);
    const uint64_t eight = scatter8<kBits>(word);
    std::memcpy(out, &eight, 8);
  }
  if (count > 0) unpack_some<kBits>(row, 0, count, out);
}

using PackFn = void (*)(const uint8_t*, int64_t, std::byte*);
using UnpackFn = void (*)(const std::byte*, int64_t, int64_t, uint8_t*);
constexpr PackFn kPack[] = {pack<1>, pack<2>, pack<3>, pack<4>, pack<5>, pack<6>, pack<7>, pack<8>};
constexpr UnpackFn kUnpack[] = {unpack<1>, unpack<2>, unpack<3>, unpack<4>, unpack<5>, unpack<6>, unpack<7>, unpack<8>};

}  // namespace

void pack_bits(const uint8_t* codes, int64_t count, int bits, std::byte* out) {
  assert(bits >= 1 && bits <= 8 && count >= 0);
  kPack[bits - 1](codes, count, out);
}

void unpack_bits(const std::byte* row, int64_t first, int64_t count, int bits, uint8_t* out) {
  assert(bits >= 1 && bits <= 8 && first >= 0 && count >= 0);
  kUnpack[bits - 1](row, first, count, out);
}

bool padding_is_zero(const std::byte* row, int64_t count, int bits) {
  const int used = static_cast<int>(bits * count % 8);
  return used == 0 || (std::to_integer<int>(row[bitstream_bytes(bits, count) - 1]) >> used) == 0;
}

}  // namespace bitloom
