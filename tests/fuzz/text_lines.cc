// A data set of JSON lines.
#include "fuzz.h"
#include "io/text_data.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloom;
  return fuzz::accept_or_refuse(ErrorKind::kRefused, "fuzz", [&] {
    split_documents(fuzz::text_of(data, size), parse_text_format("jsonl:text"), "fuzz");
  });
}
