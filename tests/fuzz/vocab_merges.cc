// GPT-2's vocab.json and merges.txt, put to use: the input is the one, an empty line, and the other.
#include <algorithm>
#include <filesystem>

#include "base/test_data.h"
#include "fuzz.h"
#include "tokenize/tokenizer.h"

namespace {

struct Directory {
  bitloom::testing::TempDir dir;
  bitloom::fuzz::MemoryFile vocab, merges;
  Directory() {
    std::filesystem::create_symlink(vocab.path(), dir.file("vocab.json"));
    std::filesystem::create_symlink(merges.path(), dir.file("merges.txt"));
    bitloom::testing::write_file(dir.file("tokenizer_config.json"), R"({"tokenizer_class": "GPT2Tokenizer"})");
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloom;
  static Directory directory;
  const std::string_view input = fuzz::text_of(data, size);
  const size_t cut = std::min(input.find("\n\n"), input.size());
  directory.vocab.write(input.substr(0, cut));
  directory.merges.write(input.substr(std::min(cut + 2, input.size())));
  return fuzz::accept_or_refuse(ErrorKind::kRefused, directory.dir.path(), [] {
    const Tokenizer tokenizer = Tokenizer::load(directory.dir.path());
    for (const char* text : {"", "ab ab<s>a</s>", " \u00e4 a\u0301b\n\n12  "}) tokenizer.decode(tokenizer.encode(text));
  });
}
