#include "pipeline/tuner.h"

#include "base/error.h"

namespace bitloom {

bool tunes(const QuantizeTask& task, const Tuner* tuner) {
  if (!needs_of(task.recipe).sequences) return false;
  if (tuner == nullptr)
    misuse("recipe '{}' learns from the original's logits, which is not offered here", task.recipe.name);
  if (!task.options.statistics_in.empty()) {
    misuse("recipe '{}' learns from the calibration sequences; kept statistics cannot stand for them",
           task.recipe.name);
  }
  if (task.options.data == nullptr) misuse("recipe '{}' needs calibration data", task.recipe.name);
  tuner->check(task);
  return true;
}

}  // namespace bitloom
