#pragma once
// Side term "frame": everything else is stored in rotated and scaled coordinates, W~. Of y = W x,
//
//   y = D_O Q_O^T (W~ (Q_I D_I x)),   W = D_O Q_O^T W~ Q_I D_I
//
// Q_I [cols, cols] and Q_O [rows, rows] are block rotations made from a seed (block_rotation.h), D_I and D_O diagonal;
// each is optional (QuIP#, Tseng et al. 2024; YAQA, Tseng et al. 2025). What is stored is W~ = Q_O D_O^-1 W D_I^-1
// Q_I^T.
//
// Parts, for W [rows, cols]:
//   .in_scales   F16 [cols]   D_I, where the term says so
//   .out_scales  F16 [rows]   D_O

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "format/side/block_rotation.h"
#include "format/side/side_view.h"

namespace bitloom {

struct FrameStorage {
  int64_t in_block = 0, out_block = 0;  // greatest block of the side's rotation, a power of two; 0: not rotated;
                                        // of inputs also kWholeWidth
  uint64_t seed = 0;                    // of the rotations
  bool in_scales = false, out_scales = false;
  bool present() const { return in_block > 0 || out_block > 0 || in_scales || out_scales; }
  bool operator==(const FrameStorage&) const = default;
};

/// "frame" and, in any order, one or more of
///   -inN -outN               that side is rotated, in blocks of the largest power of two that divides it, N at most;
///                            N a power of two from 2 to 4096
///   -infull                  inputs are rotated all together, whatever their number
///   -seedS                   of the rotations; default 0
///   -inscales -outscales     that side has a vector of scales
/// "frame-in512-out512-seed7-outscales". `whole` is quoted in messages: Error(kUsage) for anything else.
FrameStorage parse_frame(std::string_view text, std::string_view whole);
std::string to_string(const FrameStorage& storage);

/// 16 bits a scale.
double nominal_bits(const FrameStorage& storage, int64_t rows, int64_t cols);
std::vector<TensorPart> greatest_parts(const FrameStorage& storage, int64_t rows, int64_t cols);
inline bool sizes_are_fixed(const FrameStorage&) { return true; }

/// Q_I and Q_O of a matrix with so many columns or rows; only of a side that is rotated. Matrices with one seed and
/// equally many columns share Q_I.
BlockRotation in_rotation(const FrameStorage& storage, int64_t cols);
BlockRotation out_rotation(const FrameStorage& storage, int64_t rows);

/// Error(kRefused), starting with `name`: parts that are missing or do not fit. Rows are decoded in the output's
/// blocks.
std::unique_ptr<const SideView> open_side(const std::string& name, const FrameStorage& storage, int64_t rows,
                                          int64_t cols, const std::vector<TensorPart>& parts);

}  // namespace bitloom
