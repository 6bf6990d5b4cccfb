#pragma once
// Where learning stands, on disk: a run that was killed goes on at its last check.

#include <cstdint>
#include <optional>
#include <string>

#include "tune/adam.h"
#include "tune/code_step.h"
#include "tune/vectors.h"

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

/// Complete or not at all. `run`: a JSON object of whatever decides what is learned, or "".
void save(const std::string& path, const LearningState& state, const std::string& run = "");
/// nullopt where there is no such file. Error(kRefused), saying that --restart begins anew, for one that is damaged or
/// not of vectors and codes with these names and lengths; Error(kUsage) for one of another run: names what differs.
std::optional<LearningState> load_state(const std::string& path, const Vectors& like, const CodeState& codes,
                                        const std::string& run = "");

}  // namespace bitloom
