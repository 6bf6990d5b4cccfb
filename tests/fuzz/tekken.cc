// Mistral's tekken.json, put to use.
#include <filesystem>

#include "base/test_data.h"
#include "fuzz.h"
#include "tokenize/tokenizer.h"

namespace {

struct Directory {
  bitloom::testing::TempDir dir;
  bitloom::fuzz::MemoryFile tekken;
  Directory() { std::filesystem::create_symlink(tekken.path(), dir.file("tekken.json")); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloom;
  static Directory directory;
  directory.tekken.write(fuzz::text_of(data, size));
  return fuzz::accept_or_refuse(ErrorKind::kRefused, directory.dir.path(), [] {
    const Tokenizer tokenizer = Tokenizer::load(directory.dir.path());
    for (const char* text : {"", "ab ab<s>a</s>", " \u00e4 a\u0301b\n\n12  "}) tokenizer.decode(tokenizer.encode(text));
  });
}
