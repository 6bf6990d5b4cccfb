// pytorch_model.bin: the zip archive with all that is in it.
#include "io/torch/torch_file.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloom;
  static fuzz::MemoryFile file;
  file.write(fuzz::text_of(data, size));
  return fuzz::accept_or_refuse(ErrorKind::kRefused, file.path(), [] {
    for (const TensorView& tensor : open_torch_file(file.path())) {
      if (tensor.dtype != DType::kC64) dense_rows(tensor)->decode_all();
    }
  });
}
