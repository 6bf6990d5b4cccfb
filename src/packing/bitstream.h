#pragma once
// The storage layout of codes: each row is a little-endian stream of `bits`-bit codes, first code in the lowest bits,
// padded with zero bits to a whole byte at the end of the row. Exactly `bits` bits per code for every width 1..8.
// Knows codes, not formats.

#include <cstddef>
#include <cstdint>

namespace bitloom {

/// Bytes of one row of `count` codes.
constexpr int64_t bitstream_bytes(int bits, int64_t count) { return (bits * count + 7) / 8; }

/// codes [count] (each < 2^bits) -> out [bitstream_bytes(bits, count)].
void pack_bits(const uint8_t* codes, int64_t count, int bits, std::byte* out);

/// Codes first .. first + count - 1 of a row -> out [count].
void unpack_bits(const std::byte* row, int64_t first, int64_t count, int bits, uint8_t* out);

}  // namespace bitloom
