#pragma once
// Starting the processes that work together (base/ranks.h): MPI's where the program was built with it (ranks_mpi.cc).

#include <memory>
#include <string>

#include "base/ranks.h"

namespace bitloom {

/// What the environment says about how the program was started: Open MPI's, MPICH's and Slurm's variables.
struct Launch {
  int rank = 0, size = 1;
  std::string launcher;  // "mpirun", "srun" or empty
};
Launch launch_of_environment();

/// One process, without touching MPI, unless the environment says that the program was started as several. Then
/// Error(kFailed) when the program was built without MPI, or when MPI does not see the other processes. The object's
/// end is collective: no rank ends before all do. Once per program.
std::shared_ptr<Ranks> start_ranks();

}  // namespace bitloom
