#include "pipeline/ranks/ranks.h"

#include <charconv>
#include <cstdlib>
#include <cstring>

namespace bitloom {
namespace {

/// The variable as a number; -1 when it is absent or none.
int number_of(const char* variable) {
  const char* text = std::getenv(variable);
  int value = -1;
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), value);
  return value;
}

}  // namespace

Launch launch_of_environment() {
  // Slurm sets the step's variables for what srun starts, not for a batch script that runs a program once.
  struct Variables {
    const char *size, *rank, *launcher;
  };
  for (const Variables& of :
       {Variables{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "mpirun"},
        Variables{"PMI_SIZE", "PMI_RANK", "mpirun"}, Variables{"SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "srun"}}) {
    const int size = number_of(of.size), rank = number_of(of.rank);
    if (size > 1 && rank >= 0 && rank < size) return {rank, size, of.launcher};
  }
  return {};
}

}  // namespace bitloom
