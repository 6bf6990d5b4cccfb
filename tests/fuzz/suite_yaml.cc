// A suite.
#include "fuzz.h"
#include "suite/suite.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloom;
  return fuzz::accept_or_refuse(ErrorKind::kUsage, "fuzz",
                                [&] { parse_suite(std::string(fuzz::text_of(data, size)), "fuzz"); });
}
