#pragma once
// One GGUF file, whether whole or a part of a split one. Private to io/.
//
//   "GGUF" | u32 version | u64 tensor_count | u64 kv_count
//   kv:    string key (u64 length + bytes) | u32 type | value
//   info:  string name | u32 n_dims | u64 ne[n_dims] | u32 ggml type | u64 offset
//   padding to general.alignment (32 when absent), then data; offsets count from there

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/byte_reader.h"
#include "io/ggml/gguf.h"

namespace bitloom {

using GgufMetadata = std::map<std::string, GgufValue>;

struct GgufPart {
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;
};

GgufPart open_gguf_part(const std::string& path);

/// One value of GGUF value type `type`; `what` names the key in messages.
GgufValue read_gguf_value(ByteReader& reader, uint32_t type, std::string_view what);

}  // namespace bitloom
