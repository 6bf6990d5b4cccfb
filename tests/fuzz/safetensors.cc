// One safetensors file, its tensors decoded.
#include "io/safetensors/safetensors.h"

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloom;
  static fuzz::MemoryFile file;
  file.write(fuzz::text_of(data, size));
  return fuzz::accept_or_refuse(ErrorKind::kRefused, file.path(), [] {
    for (const TensorView& tensor : open_safetensors(file.path()).tensors) {
      if (tensor.dtype != DType::kC64) dense_rows(tensor)->decode_all();
    }
  });
}
