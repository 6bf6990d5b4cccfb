#pragma once
// Vectors that are learned by Adam, whatever the loss, and codes beside them (code_step.h): distill.h and
// tune_adapter.h have the loss of a whole model, block_tuner.h that of one block.
//
// One batch in ten is held out (of fewer than ten, the last), or those that the plan says. A step is one of the others,
// in an order of its own for each epoch; the rate falls by half a cosine to 0. Four times an epoch, or in all where
// that is less, the loss of what is held out is measured: what comes of it are the vectors with the least. It ends
// early when a whole epoch brought none that is less, unless the plan says otherwise, or where a loss or a gradient is
// not finite: that step is not taken.
//
// Goals: the same bytes for any number of threads, and for a run that was killed and goes on; never worse than it was
// on what is held out.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "tune/checkpoint.h"

namespace bitloom {

/// A loss of vectors, over batches of rows.
class Objective {
 public:
  virtual ~Objective() = default;
  virtual const Vectors& vectors() const = 0;
  /// The scale of each vector's steps.
  virtual std::map<std::string, double> sizes() const = 0;
  virtual void set(Vectors values) = 0;
  /// Brings vectors back to where they may be, behind step `step` of `steps`, from 1: what the next one begins at.
  virtual void settle(Vectors& /*values*/, int64_t /*step*/, int64_t /*steps*/) const {}
  /// The mean over the batch's rows; `gradients` null: not wanted, else set to those of all vectors(), and those of
  /// matrices whose codes are learned given to `of_weights`, if that is not empty.
  virtual double loss(size_t batch, VectorGradients* gradients, const OfWeights& of_weights) = 0;

  /// Codes that are learned too: where that begins. None here.
  virtual CodeState begin_codes() { return {}; }
  /// By matrix, what their codes are less than.
  virtual std::map<std::string, int64_t> code_entries() const { return {}; }
  virtual void set_codes(Codes) {}
  /// The V step at the present vectors.
  virtual void choose_codes(const CodeOptions&, CodeState&) {}
};

/// Places of batches.
struct Split {
  std::vector<size_t> learned_from, held_out;
};
/// floor(batches share), where a share of 1 / n of n is 1 whatever fp64 makes of it.
int64_t held_out_of(size_t batches, double share);
/// So many are held out, spread evenly; the last where that is none: of fewer than two, all.
Split split_batches(size_t batches, double share = 0.1);

/// How it is learned.
struct LearningPlan {
  std::string name, loss;     // in messages: "distill", "KL"
  std::vector<int64_t> rows;  // of each batch
  int64_t epochs = 1;         // passes over the batches that are learned from
  double rate = 0;            // of Adam, relative to each vector's size
  uint64_t seed = 0;
  std::string checkpoint = "";  // a file that is kept up to date; "": none
  std::string run = "";         // what the checkpoint is of, if anything decides it but the vectors' names
  std::optional<Split> split = std::nullopt;  // else split_batches()
  int64_t steps = 0;                          // at most; 0: those of all epochs
  int64_t warm_up = 0;                        // steps on which the rate rises
  double decay = 0;                           // of AdamW
  bool ends_early = true;                     // after an epoch without gain
  bool tells = false;                         // a line of the log for each check
  CodeOptions codes = {};                     // their rate falls as Adam's does
};

/// Checks of an epoch: as many as there are without gain end it.
int64_t checks_of_epoch(const Split& split);
/// Steps of a plan, at most, and the checks on their way.
int64_t steps_of(const LearningPlan& plan, const Split& split);
int64_t checks_of(const LearningPlan& plan, const Split& split);
int64_t rows_of(const std::vector<int64_t>& rows, const std::vector<size_t>& places);

class Learner {
 public:
  /// `advance`: so many rows have gone forward, or as much work as that. Goes on from the checkpoint, where there is
  /// one. Errors as load_state.
  Learner(Objective& objective, LearningPlan plan, std::function<void(int64_t rows, const std::string& where)> advance,
          Progress& progress);

  /// Rows that what is left takes.
  int64_t work_left() const;
  /// Learns what is left; the objective then has the best vectors.
  void run();

  const LearningState& state() const { return state_; }
  const Split& split() const { return split_; }
  int64_t steps() const { return steps_; }  // at most

 private:
  bool learns_codes() const { return !state_.codes.codes.empty(); }
  OfWeights wanted_mover(int64_t step);
  void take_step();
  void check();
  void end(const std::string& why);
  double held_out_loss();
  std::vector<size_t> order_of(int64_t epoch) const;

  Objective& objective_;
  const LearningPlan plan_;
  const std::function<void(int64_t rows, const std::string& where)> advance_;
  Progress& progress_;
  const std::map<std::string, double> sizes_;
  std::map<std::string, double> code_sizes_;  // of the matrices whose codes are learned
  const Split split_;
  const int64_t steps_;
  bool goes_on_ = false;
  LearningState state_;
};

}  // namespace bitloom
