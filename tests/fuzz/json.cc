// JSON of foreign origin.
#include "io/json.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloom;
  return fuzz::accept_or_refuse(ErrorKind::kRefused, "fuzz",
                                [&] { dump_json(parse_json(fuzz::text_of(data, size), "fuzz")); });
}
