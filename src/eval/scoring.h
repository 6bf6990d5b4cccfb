#pragma once
// The walk that every judge takes: window by window, scored positions in blocks of rows.

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/context.h"
#include "eval/logits/logits_source.h"
#include "eval/windows.h"

namespace bitloom {

/// Rows of logits in memory at a time: 64 x 49152 fp32 is 12 MiB, and a head's GEMM is at full rate by then.
inline constexpr int64_t kScoreRows = 64;

/// A run of scored positions. Row i of a logits block predicts targets[i] and is position first + i of the window.
struct ScoreBlock {
  int64_t window = 0;
  int64_t first = 0;
  int64_t scored_before = 0;  // scored positions of the whole text before this block
  std::span<const int32_t> targets;
  int64_t rows() const { return static_cast<int64_t>(targets.size()); }
};

/// `begin` runs the models over a window's inputs (all its tokens but the last), then `block` sees its scored
/// positions. Progress counts tokens run under `label`. Error(kRefused) when a token is outside a vocabulary of
/// `vocab`.
void walk_windows(const TextWindows& windows, int64_t vocab, const std::string& label, Context& context,
                  const std::function<void(std::span<const int32_t> inputs)>& begin,
                  const std::function<void(const ScoreBlock&)>& block);

/// The block's rows [rows, vocab] of `model`, checked: Error(kFailed) naming `who`, window, position and token of the
/// first logit that is not finite.
void read_logits(LogitsSource& model, const std::string& who, const ScoreBlock& block, Context& context,
                 std::vector<float>& out);

/// Scored positions of each window, as mean_interval() takes them.
std::vector<int64_t> scored_counts(const TextWindows& windows);

}  // namespace bitloom
