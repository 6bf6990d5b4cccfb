#pragma once
// One block of the walk: its weights on their way from the model's to what the recipe makes of them, and how to run it
// with either.

#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "base/threads.h"
#include "forward/block.h"
#include "model/checkpoint/checkpoint.h"
#include "pipeline/journal/block_outcome.h"
#include "recipe/recipe.h"

namespace bitloom {

/// What calibration makes of a format whose range is yet to be found; nullopt where nothing but zeros was seen.
using FormatFinder = std::function<std::optional<ActivationFormat>(const ActivationFormat& rule)>;

struct BlockState {
  /// `graph` and `rope` (null: none) must outlive it. `formats`, `operand_formats`: what the quantized model's inputs
  /// and operands are rounded to.
  BlockState(std::shared_ptr<const Checkpoint> model_before, const Graph& graph, int block, const RopeTable* rope,
             const InputFormats& formats, const OperandFormats& operand_formats, ThreadPool& threads);
  BlockState(const BlockState&) = delete;
  BlockState& operator=(const BlockState&) = delete;

  /// Other weights that compute the same.
  void rewrite(std::shared_ptr<const Checkpoint> rewritten, ThreadPool& threads);

  /// From here on inputs are rounded as these formats say, with the channels moved that they name, and the matrices
  /// that read them are rewritten for it; of a finished block, as the earlier run left both. The float model's stay.
  void move_channels(const std::map<int, ActivationFormat>& formats, ThreadPool& threads);

  /// From here on the input is rounded as `find` says of its format, or said in the earlier run; formats that
  /// calibration has no part in are from the beginning on. Where calibration saw nothing but zeros, tokens have ranges
  /// of their own, which is remarked on.
  void fix_range(int input, const FormatFinder& find);

  /// How the input's channels are moved.
  const Reassembly& reassembly(int input) const;

  /// An earlier run has finished the block: it is only passed through, with what came of it.
  void resume(BlockOutcome of_earlier_run);
  /// The site's weight and bias as the earlier run left them.
  void take_finished(const Site& site);
  /// What the earlier run left unquantized but rewritten.
  TensorEdits finished_rewrites() const;
  /// Norms that the outcome has rewritten, into `current`.
  void take_rewritten();

  int index;
  std::map<int, InputRounder> rounders;      // of `current`
  std::map<Operand, InputRounder> operands;  // of that, too
  std::map<int, ActivationFormat> unfixed;   // inputs whose range is yet to be found
  std::shared_ptr<const Checkpoint> model;
  BlockWeights original, current;
  BlockRunner float_runner, runner;  // with `original`, with `current`
  BlockOutcome outcome;
  std::map<std::string, RowSourcePtr> before;  // matrices as they were before they were rounded, where that is kept
  bool finished = false;

 private:
  /// With the formats of what they multiply.
  void set_current(BlockWeights weights);
};

}  // namespace bitloom
