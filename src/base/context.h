#pragma once
// What every long-running function needs and must not find in a global.

#include "base/progress.h"
#include "base/threads.h"

namespace bitloom {

struct Context {
  ThreadPool& threads;
  Progress& progress;
};

}  // namespace bitloom
