#pragma once
// What somebody wants to know of a linear layer's inputs: a rounding, a transform, a whole recipe. Only what is asked
// for is gathered.

#include <algorithm>
#include <cstdint>

namespace bitloom {

struct Needs {
  bool second_moment = false;  // X^T X: d^2 / 2 doubles for d channels
  bool cross_moment = false;   // (F - X)^T X, F what the float model's layer reads: d^2 floats and a second stream
  bool halves = false;         // both of the first half of the sequences alone: 1.5 times their memory more
  bool range = false;          // least and greatest value of every channel
  bool mean = false;           // of every channel
  bool histogram = false;      // how often values of each size occur, over all channels
  int64_t sample = 0;          // so many tokens as they are: d floats each

  // Of each linear layer that reads the input, by a backward pass through the float model (guided_moments.h):
  bool guided_moment = false;  // of its inputs, tokens weighted by the squares of its outputs' gradients
  bool output_moment = false;  // of its outputs' gradients

  bool sequences = false;      // the calibration sequences themselves, once everything is rounded
  bool block_outputs = false;  // what a block reads and what it is to give, once it is rounded

  bool any() const {
    return second_moment || cross_moment || range || mean || histogram || sample > 0 || guided_moment ||
           output_moment || sequences || block_outputs;
  }
  Needs& operator|=(const Needs& other) {
    second_moment |= other.second_moment, cross_moment |= other.cross_moment, halves |= other.halves;
    range |= other.range, mean |= other.mean, histogram |= other.histogram;
    guided_moment |= other.guided_moment, output_moment |= other.output_moment;
    sequences |= other.sequences, block_outputs |= other.block_outputs;
    sample = std::max(sample, other.sample);
    return *this;
  }
  bool operator==(const Needs&) const = default;
};

/// Whether moments of linear layers are asked for that take a backward pass.
inline bool needs_gradients(const Needs& needs) { return needs.guided_moment || needs.output_moment; }

}  // namespace bitloom
