// tokenizer.json, put to use.
#include "fuzz.h"
#include "tokenize/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloom;
  return fuzz::accept_or_refuse(ErrorKind::kRefused, "fuzz", [&] {
    const Tokenizer tokenizer = Tokenizer::from_json(parse_json(fuzz::text_of(data, size), "fuzz"), "fuzz");
    for (const char* text : {"", "ab ab<s>a</s>", " \u00e4 a\u0301b\n\n12  "}) tokenizer.decode(tokenizer.encode(text));
  });
}
