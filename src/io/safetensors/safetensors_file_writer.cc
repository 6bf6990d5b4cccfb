#include <cerrno>
#include <cstdio>
#include <system_error>

#include "base/error.h"
#include "io/directory/output_file.h"
#include "io/safetensors/safetensors_header.h"

namespace bitloom {
namespace {

void write_tensors(OutputFile& file, const std::vector<TensorSpec>& specs, std::span<const TensorBytes> tensors,
                   const std::map<std::string, std::string>& metadata) {
  const std::vector<int64_t> offsets = place_tensors(specs);
  const std::string header = safetensors_header(specs, offsets, metadata, file.path());
  file.write_at(0, header);
  for (size_t i = 0; i < tensors.size(); ++i) {
    file.write_at(static_cast<int64_t>(header.size()) + offsets[i], tensors[i].bytes);
  }
  file.finish();
}

}  // namespace

void write_safetensors_file(const std::string& path, std::span<const TensorBytes> tensors,
                            const std::map<std::string, std::string>& metadata) {
  std::vector<TensorSpec> specs;
  for (const TensorBytes& tensor : tensors) specs.push_back(tensor.spec);
  check_specs(specs);
  for (const TensorBytes& tensor : tensors) {
    if (tensor.spec.bytes() != static_cast<int64_t>(tensor.bytes.size())) {
      fail(ErrorKind::kFailed, "{}: tensor '{}' takes {} bytes, got {}", path, tensor.spec.name, tensor.spec.bytes(),
           tensor.bytes.size());
    }
  }
  const std::string partial = path + ".partial";
  try {
    OutputFile file(partial);
    write_tensors(file, specs, tensors, metadata);
    if (std::rename(partial.c_str(), path.c_str()) != 0) {
      fail(ErrorKind::kFailed, "{}: cannot rename to {}: {}", partial, path, std::generic_category().message(errno));
    }
  } catch (...) {
    std::remove(partial.c_str());
    throw;
  }
}

}  // namespace bitloom
