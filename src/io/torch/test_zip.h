#pragma once
// For tests only: zip archives of stored entries, and pickles written opcode by opcode.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitloom::testing {

inline std::string little_endian(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text.push_back(static_cast<char>(value >> 8 * i));
  return text;
}

struct ZipOptions {
  bool zip64 = false;  // sizes and offsets in 64 bits
  int method = 0, flags = 0;
  std::string comment = "";
};

/// Checksums and dates are zero, which nobody checks.
inline std::string zip_of(const std::vector<std::pair<std::string, std::string>>& entries,
                          const ZipOptions& options = {}) {
  const auto number = [](uint64_t value, int bytes) { return little_endian(value, bytes); };
  const bool wide = options.zip64;
  std::string file, directory;
  for (const auto& [name, bytes] : entries) {
    const uint64_t header = file.size();
    const std::string begin = number(45, 2) + number(options.flags, 2) + number(options.method, 2) + number(0, 8);
    const std::string size = number(wide ? UINT32_MAX : bytes.size(), 4), length = number(name.size(), 2);
    const std::string sizes = number(bytes.size(), 8) + number(bytes.size(), 8);
    const std::string extra = wide ? number(1, 2) + number(16, 2) + sizes : "";
    const std::string extras = wide ? number(1, 2) + number(24, 2) + sizes + number(header, 8) : "";
    file += "PK\3\4" + begin + size + size + length + number(extra.size(), 2) + name + extra + bytes;
    directory += "PK\1\2" + number(45, 2) + begin + size + size + length + number(extras.size(), 2) + number(0, 10) +
                 number(wide ? UINT32_MAX : header, 4) + name + extras;
  }
  const uint64_t start = file.size(), end64 = start + directory.size(), count = entries.size();
  file += directory;
  if (wide) {
    file += "PK\6\6" + number(44, 8) + number(45, 2) + number(45, 2) + number(0, 8) + number(count, 8) +
            number(count, 8) + number(directory.size(), 8) + number(start, 8);
    file += "PK\6\7" + number(0, 4) + number(end64, 8) + number(1, 4);
  }
  const uint64_t listed = wide ? UINT16_MAX : count;
  return file + "PK\5\6" + number(0, 4) + number(listed, 2) + number(listed, 2) +
         number(wide ? UINT32_MAX : directory.size(), 4) + number(wide ? UINT32_MAX : start, 4) +
         number(options.comment.size(), 2) + options.comment;
}

// Parts of pickles.
inline std::string pickled(std::string_view text) { return "X" + little_endian(text.size(), 4) + std::string(text); }
inline std::string pickled(int32_t value) { return "J" + little_endian(static_cast<uint32_t>(value), 4); }
inline std::string pickled_tuple(const std::vector<int32_t>& values) {
  std::string text = "(";
  for (const int32_t value : values) text += pickled(value);
  return text + "t";
}
inline std::string pickled_global(std::string_view module, std::string_view name) {
  return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}

/// What a test changes of a tensor of fp32.
struct PickledTensorText {
  std::string storage = "0";
  int32_t elements = 6, offset = 0;
  std::vector<int32_t> shape = {2, 3}, strides = {3, 1};
  std::string type = "FloatStorage";
};

inline std::string pickled_tensor(const PickledTensorText& tensor) {
  const std::string storage = "(" + pickled("storage") + pickled_global("torch", tensor.type) +
                              pickled(tensor.storage) + pickled("cpu") + pickled(tensor.elements) + "tQ";
  return pickled_global("torch._utils", "_rebuild_tensor_v2") + "(" + storage + pickled(tensor.offset) +
         pickled_tuple(tensor.shape) + pickled_tuple(tensor.strides) + "\x89}tR";
}

/// A dict of these values, each pickled.
inline std::string pickled_dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string text = "\x80\x02}(";
  for (const auto& [name, value] : items) text += pickled(name) + value;
  return text + "u.";
}

}  // namespace bitloom::testing
