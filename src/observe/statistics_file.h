#pragma once
// The statistics of several named inputs ("attention", "mlp_down") in one safetensors file: what a calibration has seen
// of a block, kept so that nothing need be seen twice. Exact: the same statistics give the same bytes and back.
//
// For each name N of d channels:  N.counts I64 [11]: tokens, dropped tokens, 1 if there is a second moment, 1 if there
// is a cross moment, its tokens, the histogram's bins (0 if there is none), its exponent, 1 if there are moments of the
// first half, their tokens, dropped tokens and cross moment's tokens;  N.low, N.high F32 [d] and N.sums F64 [d]
// (ChannelRange);  and what there is of N.second_moment F64 [tiles, 256, 256] (SecondMoment::tiles()), N.cross_moment
// F32 [d, d], N.half_second_moment and N.half_cross_moment likewise, N.histogram I64 [bins] with N.extremes F32 [2],
// the least and the greatest value.

#include <map>
#include <string>

#include "observe/input_statistics.h"

namespace bitloom {

struct StatisticsFile {
  std::map<std::string, InputStatistics> inputs;
  std::map<std::string, std::string> metadata;
};

/// Complete or not at all: written under another name and renamed. `metadata` is the caller's; the key "format" is
/// taken. Error(kFailed) naming the path.
void write_statistics(const std::string& path, const std::map<std::string, InputStatistics>& inputs,
                      const std::map<std::string, std::string>& metadata);

/// Error(kRefused) naming file, tensor and value for a file that write_statistics would not have written: another
/// format, a missing or unknown tensor, another dtype or shape, counts that contradict each other, values that no data
/// can give (not finite, a negative mean square, a lower bound above the upper one).
StatisticsFile read_statistics(const std::string& path);

}  // namespace bitloom
