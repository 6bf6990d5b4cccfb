#pragma once
// GGUF v2/v3 as a source: metadata, tensors of every type in ggml_types.h, split files.
// Non-goal: names and layouts of architectures (model/gguf/gguf_names.h), writing (export/).

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/memory/row_source.h"
#include "io/mapped_file.h"

namespace bitloom {

/// A metadata value, widened: every unsigned type to uint64_t, signed to int64_t, float to double.
/// Arrays are homogeneous; nested arrays are refused.
using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string, std::vector<uint64_t>,
                               std::vector<int64_t>, std::vector<double>, std::vector<bool>, std::vector<std::string>>;

/// A tensor, with its shape in row-major order (GGUF's ne reversed: ne = {in, out} gives [out, in]).
struct GgufTensor {
  std::string name;
  uint32_t type = 0;  // ggml type id
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
  std::shared_ptr<const MappedFile> owner;
  std::string file;
};

class GgufFile {
 public:
  /// `path` may be any part of a split file (name-00001-of-00003.gguf); all parts are opened.
  static GgufFile open(const std::string& path);

  const std::string& path() const { return path_; }
  const std::map<std::string, GgufValue>& metadata() const { return metadata_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }

  bool has(const std::string& key) const { return metadata_.contains(key); }
  /// Typed look-ups. Integers accept either signedness when the value fits. Error(kRefused) names file and key when the
  /// key is absent or of another type; `find_*` return nullopt when absent.
  std::string text(const std::string& key) const;
  int64_t integer(const std::string& key) const;
  double number(const std::string& key) const;
  std::optional<std::string> find_text(const std::string& key) const;
  std::optional<int64_t> find_integer(const std::string& key) const;
  std::optional<double> find_number(const std::string& key) const;
  std::optional<bool> find_flag(const std::string& key) const;
  /// nullptr when absent; Error(kRefused) when of another type.
  const std::vector<std::string>* find_texts(const std::string& key) const;
  std::vector<int64_t> integers(const std::string& key) const;  // empty when absent
  std::vector<double> numbers(const std::string& key) const;    // empty when absent

 private:
  std::string path_;
  std::map<std::string, GgufValue> metadata_;
  std::vector<GgufTensor> tensors_;
};

/// The tensor as a matrix (same rule for dimensions as dense_rows). Error(kRefused) naming the type when it is one that
/// bitloom does not decode.
RowSourcePtr gguf_rows(const GgufTensor& tensor);

}  // namespace bitloom
