// A build without MPI: one process.

#include "pipeline/ranks/ranks.h"

namespace bitloom {

std::shared_ptr<Ranks> start_ranks() {
  const Launch launch = launch_of_environment();
  if (launch.size > 1) {
    fail(ErrorKind::kFailed,
         "{} started {} processes, but this bitloom was built without MPI; install libopenmpi-dev and build it again "
         "with -DBITLOOM_MPI=ON",
         launch.launcher, launch.size);
  }
  return std::make_shared<Ranks>();
}

}  // namespace bitloom
