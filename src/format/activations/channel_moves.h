#pragma once
// Channels of an input reassembled: large ones split into several smaller ones, for which as many others that are alike
// are merged, so the width stays (QLLM, Liu et al., 2310.08041, section 3.1). Each move frees one channel's slot, by
// joining the channel to another, and fills it with a copy of a large one. Of x [channels],
//
//   y_j = (x_j + sum of x_i over moves i > j) / (1 + their number)      channels that others join
//   y_c = x_c / T_c,  y_i = x_c / T_c of a move whose slot i holds c    T_c = 1 + the number of c's copies
//
// and all others stay. The matrices that read it take instead of W [rows, channels]
//
//   W'_j = W_j + sum of W_i,   W'_i = W_c
//
// (columns). Splitting is exact, and merging two channels costs x_i w_i + x_j w_j - y_j w'_j = (x_i - x_j)(w_i - w_j)/2
// of an output.
//
// Equal parts that are rounded alike err alike, and with them x_c by T_c times as much: in steps of T_c s. Parts that
// are staggered are rounded from other places of a step, part k = 0 .. T - 1 (the channel itself, then its copies in
// the order of the moves) from y + o_k s with
//
//   o_k = (k + 1/2) / T - 1/2,      |o_k| < 1/2,  sum of o_k = 0
//
// Levels at multiples of s then add up to s rint(x_c / s) by Hermite's identity, sum of floor(u + k/T) = floor(T u):
// x_c in steps of s, as if it were whole. Nothing is subtracted afterwards, and 0 stays 0.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitloom {

struct ChannelMove {
  int32_t slot = 0;  // the channel whose values go
  int32_t into = 0;  // to this one,
  int32_t copy = 0;  // and whose slot holds a part of this one
  bool operator==(const ChannelMove&) const = default;
};

/// In any order; what no move names stays.
using ChannelMoves = std::vector<ChannelMove>;

/// "12>7=3;40>7=3": slot>into=copy. parse gives false for any other text.
bool parse_moves(std::string_view text, ChannelMoves& moves);
std::string to_string(const ChannelMoves& moves);

/// What is wrong with them for so many channels (0: any number); empty: nothing. A slot is freed once, and is no
/// channel that others join or that is split; none is both of these.
std::string bad_moves(const ChannelMoves& moves, int64_t channels);

/// Valid moves as they are made.
class Reassembly {
 public:
  explicit Reassembly(ChannelMoves moves = {});
  bool empty() const { return moves_.empty(); }
  const ChannelMoves& moves() const { return moves_; }
  /// x [channels] becomes y.
  void move_values(float* x) const;
  /// The adjoint of that: d [channels], a gradient with respect to y, becomes that with respect to x.
  void move_gradients(float* d) const;
  /// A row w [channels] of W becomes one of W'.
  void move_weights(float* w) const;
  /// Of every part of a split channel its o, in steps; sorted by the channel whose slot it lies in.
  struct Offset {
    int32_t channel;
    float steps;
  };
  std::vector<Offset> offsets() const;

 private:
  ChannelMoves moves_;
  std::vector<std::pair<int32_t, float>> shares_;  // 1 / T of split channels, 1 / (1 + n) of those that n others join
};

}  // namespace bitloom
