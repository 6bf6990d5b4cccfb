#pragma once
// A storage of the family "vector": G consecutive weights of a row are one vector of a codebook that a block of the
// matrix has for itself, its numbers integers of 8 bits (GPTVQ, van Baalen et al. 2024, 2402.15319; papers' learned
// page, 8.1).
//
//   value(r, j G + c) = scale(b) C_b[code(r, j), c],   b the block of row r and column j G,   code < 2^B
//
// or, with scales for every S columns of a row (its block scales), that times
//
//   2^(step(b) (n(r, k) - 15)),   k = j G / S,   n < 16
//
// so that the greatest such scale is 1, and scale(b) is of the size that it has without them: what fp16 cannot hold are
// small runs at most.
//
// A block is R rows, of the last blocks perhaps fewer, by a run of columns: the matrix is cut into runs of one width,
// whole vectors and whole runs of S, as near C as their number allows; C is a multiple of S. The last run may be
// narrower. Published settings have R C = 256 in one dimension (vq2-g1-r1), 2048 in two (vq4-g2-r8), 65536 in four
// (vq8-g4-r256): 2.125 bits.
//
// Parts, for W [rows, cols]; a last vector that is shorter uses its first entries:
//   .codes      U8 [bytes]   as those of one codebook in vector_storage.h
//   .codebooks  I8 [row blocks, column blocks, 2^B, G]
//   .scales     F16 [row blocks, column blocks]          not negative
// and with scales for every S columns
//   .scale_codes  U8 [bytes]                             n, as codes of 4 bits for vectors of S weights
//   .scale_steps  F16 [row blocks, column blocks]        0 to 1

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/families/vector/vector_storage.h"

namespace bitloom {

struct BlockVectorStorage {
  int64_t bits = 8;    // B, 1 to 8
  int64_t group = 4;   // G: 1, 2, 4 or 8
  int64_t rows = 256;  // R, a power of two up to 256
  int64_t cols = 256;  // C, 8 to 65536, a multiple of S
  int64_t scaled = 0;  // S, a power of two from 8 to 256; 0: no such scales
  int64_t entries() const { return int64_t{1} << bits; }
  /// How its codes lie.
  VectorStorage codes() const { return {1, bits, group}; }
  VectorStorage scale_codes() const { return {1, kScaleBits, scaled}; }
  static constexpr int64_t kScaleBits = 4;
  bool operator==(const BlockVectorStorage&) const = default;
};

/// "vq" and a digit.
bool is_block_vector_spelling(std::string_view text);
/// "vq8-g4-r256-c256": vectors of 4 weights, 2^8 of them for 256 rows by 256 columns; defaults -g4, as many rows as the
/// paper takes (1, 8, 256 for G of 1, 2, 4 or more), -c256; "-s64": scales for every 64 columns of a row. Error(kUsage)
/// for numbers out of range, and for blocks that are not whole runs of S columns; options that it does not know go to
/// `others`, or are an error.
BlockVectorStorage parse_block_vectors(std::string_view text, std::vector<std::string>* others = nullptr);
std::string to_string(const BlockVectorStorage& storage);
std::vector<std::string> block_vector_option_names();

/// Codes, codebooks and codes of scales, as the paper counts (its section 4.1): without what a block has once.
double nominal_bits(const BlockVectorStorage& storage, int64_t rows, int64_t cols);
std::vector<TensorPart> greatest_parts(const BlockVectorStorage& storage, int64_t rows, int64_t cols);
inline bool has_fixed_sizes(const BlockVectorStorage&) { return true; }
/// Codes of 1 to 8 bits, of at least one for each weight where that is possible.
std::vector<BlockVectorStorage> at_all_widths(const BlockVectorStorage& storage);

extern const FamilyRow kBlockVectorFamily;

/// Error(kUsage), naming `name`, where a [rows, cols] matrix would take more than fp16.
void check_worthwhile(const std::string& name, const BlockVectorStorage& storage, int64_t rows, int64_t cols);

/// The blocks of a matrix.
struct VectorBlocks {
  VectorBlocks(const BlockVectorStorage& storage, int64_t rows, int64_t cols);
  int64_t height = 1, width = 1;  // of a block that is whole
  int64_t down = 0, across = 0;   // numbers of blocks
  int64_t count() const { return down * across; }
};

/// A matrix over parts that somebody else owns; its codebooks are held in fp32 besides. Error(kRefused), starting with
/// `name`, for parts that are missing or do not fit.
std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const BlockVectorStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts);

/// Scales for every S columns of a row.
struct LogScales {
  std::vector<uint16_t> codes;  // n [rows, ceil(cols / S)]
  std::vector<float> steps;     // [blocks], numbers of fp16
};
/// 2^(step (n - 15)).
float log_scale(float step, uint16_t n);
/// Of all n.
using LogScaleTable = std::array<float, 1 << BlockVectorStorage::kScaleBits>;
LogScaleTable log_scale_table(float step);
inline constexpr float kGreatestScaleStep = 1;

/// The bytes of the parts, in the order of greatest_parts. codes [rows, groups]; codebooks [blocks, 2^B, G]; scales
/// [blocks], rounded to fp16; log_scales: of use where the storage has them.
std::vector<std::vector<std::byte>> pack_block_vectors(const BlockVectorStorage& storage, int64_t rows, int64_t cols,
                                                       std::span<const uint16_t> codes,
                                                       std::span<const int8_t> codebooks, std::span<const float> scales,
                                                       const LogScales& log_scales = {});

}  // namespace bitloom
