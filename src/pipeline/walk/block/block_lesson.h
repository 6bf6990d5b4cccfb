#pragma once
// The two activation streams of blocks that are tuned as soon as they are rounded (papers' learned page, 0.1): before a
// block is rounded its inputs are kept, and what it is to make of them; behind it the sequences go on from those
// inputs, through the block as it was tuned.

#include <memory>
#include <string>

#include "base/context.h"
#include "pipeline/walk/block/block_state.h"
#include "pipeline/walk/block/block_tuner.h"
#include "pipeline/walk/stream/activation_store.h"
#include "pipeline/walk/walk_task.h"

namespace bitloom {

class LessonKeeper {
 public:
  /// `task` and `chunks` must outlive it.
  LessonKeeper(const WalkTask& task, const std::vector<SequenceChunk>& chunks);

  /// Keeps what `stream`, at the block's entrance, is about to read; of a block that is to be tuned its targets too:
  /// what the float block makes of that, or of `original`, at the entrance too.
  void keep(const BlockState& state, CalibrationStream& stream, CalibrationStream& original, ThreadPool& threads);
  /// Tunes the block, unless it is finished or tunes_block() says no; its outcome and present weights are then those
  /// that were learned.
  void tune(BlockState& state, const std::function<void(double)>& advance, Context& context);
  /// Brings the stream back to the block's entrance.
  void return_to_entrance(CalibrationStream& stream) const;

 private:
  const WalkTask& task_;
  const std::vector<SequenceChunk>& chunks_;
  ActivationStore store_;
};

/// Whether the recipe quantizes anything in the block: else there is no error to make up for.
bool tunes_block(const WalkTask& task, int block);

/// Bytes of what is kept.
int64_t lesson_bytes(const WalkTask& task, const std::vector<SequenceChunk>& chunks);

}  // namespace bitloom
