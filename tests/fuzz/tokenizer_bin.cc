// llama2.c's tokenizer.bin.
#include "fuzz.h"
#include "tokenize/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloom;
  static fuzz::MemoryFile file;
  file.write(fuzz::text_of(data, size));
  return fuzz::accept_or_refuse(ErrorKind::kRefused, file.path(), [] {
    const Tokenizer tokenizer = Tokenizer::from_json(tokenizer_json_from_llama2c(file.path()), file.path());
    tokenizer.decode(tokenizer.encode("ab <s>\u00e4"));
  });
}
