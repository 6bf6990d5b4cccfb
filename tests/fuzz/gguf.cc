// One GGUF file: its tensors decoded, its tokenizer loaded and the model that it describes opened, each if it is good.
#include "io/ggml/gguf.h"

#include "fuzz.h"
#include "io/ggml/ggml_types.h"
#include "model/checkpoint/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloom;
  fuzz::most_fixed = int64_t{256} << 20;  // a graph of as many layers and experts as the file says, within bounds
  static fuzz::MemoryFile file;
  file.write(fuzz::text_of(data, size));
  return fuzz::accept_or_refuse(ErrorKind::kRefused, file.path(), [] {
    const GgufFile gguf = GgufFile::open(file.path());
    for (const GgufTensor& tensor : gguf.tensors()) {
      if (find_ggml_type(tensor.type) != nullptr) gguf_rows(tensor)->decode_all();
    }
    if (!gguf.has("general.architecture")) return;
    const auto model = Checkpoint::open(file.path());
    if (model->has_tokenizer()) model->tokenizer().decode(model->tokenizer().encode("ab <s>\u00e4"));
    model->companion_files();
  });
}
