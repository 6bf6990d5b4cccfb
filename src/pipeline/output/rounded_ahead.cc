#include "pipeline/output/rounded_ahead.h"

#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>
#include <vector>

#include "io/safetensors/safetensors.h"

namespace bitloom {

namespace fs = std::filesystem;

RoundedAhead::RoundedAhead(const std::string& staging) : directory_((fs::path(staging) / "rounded").string()) {}

void RoundedAhead::discard() {
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

std::shared_ptr<const StoredMatrix> RoundedAhead::keep(const std::string& name, const StoredMatrix& matrix) {
  const std::string directory = (fs::path(directory_) / std::to_string(kept_++)).string();
  fs::create_directories(directory);
  std::vector<TensorSpec> specs;
  for (const TensorPart& part : matrix.parts()) specs.push_back({part.suffix, part.dtype, part.shape});
  SafetensorsWriter writer(directory, specs, std::numeric_limits<int64_t>::max());
  for (const TensorPart& part : matrix.parts()) writer.write(part.suffix, part.bytes);
  writer.finish();

  std::vector<TensorPart> parts;
  auto owners = std::make_shared<std::vector<std::shared_ptr<const void>>>();
  for (const TensorView& view : open_safetensors_directory(directory)) {
    parts.push_back({view.name, view.dtype, view.shape, view.bytes});
    owners->push_back(view.owner);
  }
  return StoredMatrix::from_parts(name, matrix.spec(), matrix.rows(), matrix.cols(), parts, std::move(owners));
}

}  // namespace bitloom
