#pragma once
// How many channels of an input are to be split and merged (QLLM, Liu et al., 2310.08041, section 3.1.3): the threshold
// theta is searched from the greatest magnitude downwards, by what rounding then makes of the outputs,
//
//   loss = sum over readers and their outputs o, and over tokens of a sample with their counts k_t, of
//            a_o k_t (W x_t - Q(W') r(y_t))_o^2,     a_o = 1 / E (W x)_o^2 (0 of an output that is always 0)
//
// y_t and W' reassembled (format/activations/channel_moves.h, channel_matching.h), r the format of the input, Q the
// readers' own by nearest rounding. Errors count relative to what they are errors of: how large an output is says
// nothing of how much it matters, as what reads it may be as much smaller (a few rows of `up` that are 64 times the
// others would decide alone, and merging would destroy the others). Pairs to be merged are chosen by the same weights:
// V = sum over outputs of a_o w_o w_o^T. Integers' equal parts are staggered (channel_moves.h). theta = max|x| (1 - p /
// steps), p = 0, 1, ..., until more than `ratio` of the channels would be added; thresholds that add as many as the one
// before are passed over. p = 0, nothing is moved, is a candidate (the paper's code never tries it), and so the loss
// never rises. The paper compares what attention and activations make of the outputs; here they are compared as they
// leave the layers. parity=paper has a_o = 1, and equal parts rounded alike.
//
// Cost: of each candidate one rounding of the readers, and one product of theirs with the sample. Memory: the readers
// in fp32 and one of them rounded, three dense [channels, channels] in fp32, the sample's inputs and outputs.

#include <functional>
#include <vector>

#include "base/memory/row_source.h"
#include "base/threads.h"
#include "format/activations/activation_format.h"
#include "observe/input_statistics.h"
#include "transform/transform.h"

namespace bitloom {

/// So many tokens are kept to compare outputs on.
inline constexpr int64_t kReassemblyTokens = 512;

/// A matrix [rows, channels] that reads the input, and Q of one in its place: decoded [rows, channels].
struct ReassembledReader {
  RowSourcePtr weights;
  std::function<std::vector<float>(const RowSource& w)> rounded;
};

struct ReassemblyChoice {
  ChannelMoves moves;               // none: the input stays
  bool staggered = false;           // how they are rounded
  double plain_loss = 0, loss = 0;  // with no moves, and with these; a sum over all tokens
};

/// The best of the thresholds. `statistics` hold ranges, a second moment and a sample of the input; `format` rounds
/// values in ranges of their own, and moves no channels yet.
/// Error(kUsage) for a ratio outside (0, 0.5] or steps < 2, Error(kFailed) where the statistics lack something.
ReassemblyChoice choose_reassembly(const InputStatistics& statistics, const ActivationFormat& format,
                                   const std::vector<ReassembledReader>& readers, const ReassembleTransform& transform,
                                   ThreadPool& threads);

}  // namespace bitloom
