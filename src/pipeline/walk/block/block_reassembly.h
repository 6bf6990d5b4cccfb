#pragma once
// Which channels of a block's inputs are split and merged before they are rounded (transform/reassembly/reassemble.h).

#include <functional>
#include <map>
#include <string>

#include "observe/input_statistics.h"
#include "pipeline/walk/block/block_state.h"
#include "pipeline/walk/walk_task.h"

namespace bitloom {

/// The formats of the inputs that the recipe reassembles, with the moves that were found best for them; those that stay
/// as they are have no entry. Of an expert that saw fewer tokens than its input has channels the second moment is
/// singular, and channels would count as alike for want of tokens: its input stays, which the outcome remarks on.
/// `statistics` are of the inputs as the block's weights make them. `advance` is told of each input that is done.
std::map<int, ActivationFormat> reassembled_inputs(const WalkTask& task, BlockState& state,
                                                   const std::map<int, InputStatistics>& statistics,
                                                   const std::function<void(int input)>& advance, ThreadPool& threads);

/// Of all blocks, in words: how many of the inputs that the recipe reassembles, how many channels, and what the lists
/// of moves take.
std::string remark_on_reassembly(const WalkTask& task, const InputFormats& activations);

}  // namespace bitloom
