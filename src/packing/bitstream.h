#pragma once
// The storage layout of codes: each row is a little-endian stream of `bits`-bit codes, first code in the lowest bits,
// padded with zero bits to a whole byte at the end of the row. Exactly `bits` bits per code for every width 1..8.
// For 2, 4 and 8 bits this is the usual layout (first element in the low nibble); 6 bits are 4 codes in 3 bytes.
//
// Goals: the one canonical layout in files, at exactly the bits a format claims. Non-goals: layouts that suit a kernel
// (interleaved, transposed); those are made from this one when a model is loaded. Knows codes, not formats.

#include <cstddef>
#include <cstdint>

namespace bitloom {

/// Bytes of one row of `count` codes.
constexpr int64_t bitstream_bytes(int bits, int64_t count) { return (bits * count + 7) / 8; }

/// codes [count] (each < 2^bits) -> out [bitstream_bytes(bits, count)]; no byte beyond is written.
void pack_bits(const uint8_t* codes, int64_t count, int bits, std::byte* out);

/// Codes first .. first + count - 1 of a row -> out [count]. Reads no byte that holds none of them.
void unpack_bits(const std::byte* row, int64_t first, int64_t count, int bits, uint8_t* out);

/// True when the padding bits of a row of `count` codes are zero.
bool padding_is_zero(const std::byte* row, int64_t count, int bits);

}  // namespace bitloom
