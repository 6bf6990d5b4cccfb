#include "broken_models.h"

#include <filesystem>
#include <fstream>
#include <iterator>

namespace bitloom::testing {
namespace {

uint64_t header_length(const std::string& bytes) {
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | static_cast<unsigned char>(bytes.at(static_cast<size_t>(i)));
  return length;
}

}  // namespace

std::string read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_bytes(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

std::string little_endian(uint64_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

ModelCopy::ModelCopy() {
  for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"})
    std::filesystem::copy_file(std::string("assets/demo/") + name, file(name));
}

void ModelCopy::edit_json(const std::string& name, const std::function<void(nlohmann::json&)>& change) const {
  nlohmann::json value = nlohmann::json::parse(read_bytes(file(name)));
  change(value);
  write_bytes(file(name), value.dump());
}

void ModelCopy::edit_header(const std::function<void(nlohmann::json&)>& change) const {
  const std::string bytes = read_bytes(file("model.safetensors"));
  const size_t length = header_length(bytes);
  nlohmann::json header = nlohmann::json::parse(bytes.substr(8, length));
  change(header);
  const std::string text = header.dump();
  write_bytes(file("model.safetensors"), little_endian(text.size(), 8) + text + bytes.substr(8 + length));
}

void ModelCopy::overwrite_tensor(const std::string& tensor, const std::string& data) const {
  std::string bytes = read_bytes(file("model.safetensors"));
  const size_t length = header_length(bytes);
  const nlohmann::json header = nlohmann::json::parse(bytes.substr(8, length));
  bytes.replace(8 + length + header.at(tensor).at("data_offsets").at(0).get<size_t>(), data.size(), data);
  write_bytes(file("model.safetensors"), bytes);
}

}  // namespace bitloom::testing
