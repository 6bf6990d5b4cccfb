#pragma once
// For tests only: small checkpoint directories.

#include <numeric>
#include <string>
#include <vector>

#include "base/test_data.h"
#include "io/safetensors/safetensors.h"
#include "io/test_support.h"
#include "model/graph.h"
#include "model/test_names.h"

namespace bitloom::testing {

/// Tensors of a directory under construction.
class TinyCheckpoint {
 public:
  /// Every tensor that the configuration needs, in fp32, tensor t holding t + 0/1024, t + 1/1024, ...
  explicit TinyCheckpoint(Json config) : config_(std::move(config)) {
    for (const ExpectedTensor& expected : expected_tensors(build_graph(config_, "config.json", NameSet()))) {
      set(expected.name, expected.shape);
    }
  }

  Json& config() { return config_; }
  void erase(const std::string& name) {
    std::erase_if(specs_, [&](const TensorSpec& s) { return s.name == name; });
  }
  void set(const std::string& name, const std::vector<int64_t>& shape, DType dtype = DType::kF32) {
    erase(name);
    bytes_.erase(name);
    TensorSpec spec;
    spec.name = name;
    spec.dtype = dtype;
    spec.shape = shape;
    specs_.push_back(spec);
  }

  static std::vector<float> values_of(size_t index, size_t count) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(index) + static_cast<float>(i) / 1024.0f;
    return values;
  }

  /// Parts of quantized matrices, or any other bytes.
  void set_bytes(const std::string& name, DType dtype, const std::vector<int64_t>& shape, std::string bytes) {
    set(name, shape, dtype);
    bytes_[name] = std::move(bytes);
  }

  void write(const std::string& directory, int64_t shard_bytes = int64_t{1} << 40) const {
    write_file(directory + "/config.json", dump_json(config_));
    SafetensorsWriter writer(directory, specs_, shard_bytes);
    for (size_t i = 0; i < specs_.size(); ++i) {
      const auto size = static_cast<size_t>(specs_[i].bytes());
      const auto given = bytes_.find(specs_[i].name);
      if (given != bytes_.end()) {
        ASSERT_EQ(given->second.size(), size);
        writer.write(specs_[i].name, std::as_bytes(std::span<const char>(given->second)));
      } else {
        const std::vector<float> values = values_of(i, size / 4 + 1);
        writer.write(specs_[i].name, std::as_bytes(std::span<const float>(values)).first(size));
      }
    }
    writer.finish();
  }

 private:
  Json config_;
  std::vector<TensorSpec> specs_;
  std::map<std::string, std::string> bytes_;
};

}  // namespace bitloom::testing
