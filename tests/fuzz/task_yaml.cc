// A task of tasks/.
#include "eval/tasks/task.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloom;
  return fuzz::accept_or_refuse(ErrorKind::kUsage, "fuzz",
                                [&] { parse_task(std::string(fuzz::text_of(data, size)), "fuzz"); });
}
