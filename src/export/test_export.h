#pragma once
// For tests: models written as another tool's files, and what is in these.

#include <map>
#include <string>
#include <vector>

#include "export/export_model.h"
#include "io/safetensors/safetensors.h"

namespace bitloom::testing {

inline ExportReport export_to(const std::string& model, const std::string& out, bool force = false,
                              const char* target = "aqlm") {
  ThreadPool threads(1);
  Progress silent;
  Context context{threads, silent};
  return find_export_target(target).write({*Checkpoint::open(model), out, force}, context);
}

inline std::map<std::string, TensorView> tensors_in(const std::string& directory) {
  std::map<std::string, TensorView> tensors;
  for (const TensorView& view : open_safetensors_directory(directory)) tensors.emplace(view.name, view);
  return tensors;
}

inline std::vector<float> values_of(const TensorView& view) {
  int64_t count = 1;
  for (const int64_t extent : view.shape) count *= extent;
  std::vector<float> values(static_cast<size_t>(count));
  decode_to_f32(view.dtype, view.bytes.data(), 0, count, values.data());
  return values;
}

}  // namespace bitloom::testing
