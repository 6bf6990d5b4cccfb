// The index of a sharded model (model.safetensors.index.json, pytorch_model.bin.index.json) beside good shards.
#include <filesystem>

#include "base/test_data.h"
#include "fuzz.h"
#include "io/directory/weights_directory.h"

namespace {

/// A directory whose index is the file in memory.
struct Directory {
  bitloom::testing::TempDir dir;
  bitloom::fuzz::MemoryFile index;
  explicit Directory(const std::string& golden, const std::string& name) {
    std::filesystem::copy(bitloom::testing::golden(golden), dir.path());
    std::filesystem::remove(dir.file(name));
    std::filesystem::create_symlink(index.path(), dir.file(name));
  }
};

void read(Directory& directory, std::string_view index) {
  directory.index.write(index);
  std::map<std::string, std::string> absent;
  for (const bitloom::TensorView& tensor : bitloom::open_weights_directory(directory.dir.path(), &absent)) {
    bitloom::dense_rows(tensor)->decode_all();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloom;
  static Directory safetensors("io/sharded", "model.safetensors.index.json");
  static Directory torch("io/torch/gpt2", "pytorch_model.bin.index.json");
  const std::string_view text = fuzz::text_of(data, size);
  Directory& directory = text.find(".bin") == text.npos ? safetensors : torch;
  return fuzz::accept_or_refuse(ErrorKind::kRefused, directory.dir.path(), [&] { read(directory, text); });
}
