#pragma once
// Vectors that are learned by Adam, whatever the loss: distill.h has that of a whole model, block_tuner.h that of one
// block.
//
// One batch in ten is held out (of fewer than ten, the last). A step is one of the others, in an order of its own for
// each epoch; the rate falls by half a cosine to 0. Four times an epoch the loss of what is held out is measured: what
// comes of it are the vectors with the least. It ends early when a whole epoch brought none that is less, or where a
// loss or a gradient is not finite: that step is not taken.
//
// Goals: the same bytes for any number of threads, and for a run that was killed and goes on; never worse than it was
// on what is held out.

#include <cstdint>
#include <functional>
#include <map>
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
  /// The mean over the batch's rows; `gradients` null: not wanted, else set to those of all vectors().
  virtual double loss(size_t batch, VectorGradients* gradients) = 0;
};

/// Places of batches.
struct Split {
  std::vector<size_t> learned_from, held_out;
};
/// Of fewer than two batches, all are held out.
Split split_batches(size_t batches);

/// How it is learned.
struct LearningPlan {
  std::string name, loss;     // in messages: "distill", "KL"
  std::vector<int64_t> rows;  // of each batch
  int64_t epochs = 1;         // passes over the batches that are learned from
  double rate = 0;            // of Adam, relative to each vector's size
  uint64_t seed = 0;
  std::string checkpoint = "";  // a file that is kept up to date; "": none
};

/// Checks of an epoch: as many as there are without gain end it.
int64_t checks_of_epoch(const Split& split);
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
  void take_step();
  void check();
  void end(const std::string& why);
  double held_out_loss();
  std::vector<size_t> order_of(int64_t epoch) const;
  bool checks_at(int64_t step) const;

  Objective& objective_;
  const LearningPlan plan_;
  const std::function<void(int64_t rows, const std::string& where)> advance_;
  Progress& progress_;
  const std::map<std::string, double> sizes_;
  const Split split_;
  const int64_t steps_;
  bool goes_on_ = false;
  LearningState state_;
};

}  // namespace bitloom
