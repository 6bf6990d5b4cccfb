#pragma once
// Copies of assets/demo to damage, one way per test.

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "base/test_data.h"

namespace bitloom::testing {

/// A complete copy of assets/demo in a directory of its own.
class ModelCopy {
 public:
  ModelCopy();
  const std::string& path() const { return dir_.path(); }
  std::string file(const std::string& name) const { return dir_.file(name); }

  /// Reads a JSON file of the copy, lets `change` work on it, writes it back.
  void edit_json(const std::string& name, const std::function<void(nlohmann::json&)>& change) const;
  /// The same for the header of model.safetensors; the data stays as it is.
  void edit_header(const std::function<void(nlohmann::json&)>& change) const;
  /// Overwrites bytes of a tensor's data, from its beginning.
  void overwrite_tensor(const std::string& tensor, const std::string& bytes) const;

 private:
  TempDir dir_;
};

std::string read_bytes(const std::string& path);
void write_bytes(const std::string& path, const std::string& bytes);

/// `value` as a little-endian integer of `size` bytes.
std::string little_endian(uint64_t value, int size);

}  // namespace bitloom::testing
