// data.pkl alone, in a good archive with the storages that tests/golden/io/torch/state_dict.pkl names.
#include "fuzz.h"
#include "io/torch/test_zip.h"
#include "io/torch/torch_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloom;
  static fuzz::MemoryFile file;
  const std::string pickle(fuzz::text_of(data, size));
  file.write(testing::zip_of({{"m/data.pkl", pickle},
                              {"m/data/0", std::string(24, '\1')},
                              {"m/data/1", std::string(12, '\2')},
                              {"m/data/2", std::string(4, '\3')}}));
  return fuzz::accept_or_refuse(ErrorKind::kRefused, file.path(), [] {
    for (const TensorView& tensor : open_torch_file(file.path())) {
      if (tensor.dtype != DType::kC64) dense_rows(tensor)->decode_all();
    }
  });
}
