#pragma once
// The header of a safetensors file, for its writers.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "io/safetensors/safetensors.h"

namespace bitloom {

/// Error(kFailed) for specs that cannot be stored: a name twice, a shape that is no whole number of bytes.
void check_specs(std::span<const TensorSpec> specs);

/// Offset of each tensor's first byte in the data. Wider element types first, so that no tensor's offset breaks its
/// alignment (a format without holes cannot pad).
std::vector<int64_t> place_tensors(std::span<const TensorSpec> specs);

/// What the tensor's entry adds to the header of a file with `file_bytes` of data, at most.
int64_t safetensors_entry_bytes(const TensorSpec& spec, int64_t file_bytes);

/// u64 length | JSON padded with spaces, so that the data begins at a multiple of 8. Error(kFailed) naming `file` for a
/// name that is no UTF-8.
std::string safetensors_header(std::span<const TensorSpec> specs, std::span<const int64_t> offsets,
                               const std::map<std::string, std::string>& metadata, const std::string& file);

}  // namespace bitloom
