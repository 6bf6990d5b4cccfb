#pragma once
// Where learning stands, on disk: a run that was killed goes on at its last check.

#include <cstdint>
#include <map>
#include <string>

#include "tune/adam.h"
#include "tune/learned/code_step.h"
#include "tune/learned/vectors.h"

namespace bitloom {

/// What was measured on the sequences that are held out, so far.
struct HeldOut {
  double first = 0;       // mean loss before the first step
  double best = 0;        // the least there was
  int64_t best_step = 0;  // after so many steps; 0: before the first
  int64_t checks_since = 0;
  bool operator==(const HeldOut&) const = default;
};

struct LearningState {
  AdamState adam;
  CodeState codes;
  Vectors best;  // values at best_step
  Codes best_codes;
  HeldOut held_out;
  bool done = false;
};

/// A matrix whose codes are learned.
struct CodeShape {
  size_t codes = 0, weights = 0;
  int64_t entries = 0;  // each code is less
};

/// What a state must be to be gone on with.
struct ExpectedState {
  const Vectors& vectors;  // names and lengths
  std::map<std::string, CodeShape> codes = {};
  int64_t steps = 0;     // at most
  std::string run = "";  // as it was saved
};

/// Complete or not at all. `run`: a JSON object of whatever decides what is learned, or "".
void save(const std::string& path, const LearningState& state, const std::string& run = "");
/// Error(kRefused), saying that --restart begins anew, for a file that is missing, damaged or not of vectors and codes
/// with these names and lengths, for numbers that are not finite, and for codes and counts of steps out of their range;
/// Error(kUsage) for one of another run: names what differs.
LearningState load_state(const std::string& path, const ExpectedState& expected);

}  // namespace bitloom
