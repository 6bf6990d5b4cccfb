#pragma once
// ggml's block types: one row per type, with its exact decoder.
//
// Every decoder computes in fp32, multiplication then addition, without FMA, in the order of the formula above it: the
// result has the same bits as the PyPI package `gguf`.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace bitloom {

struct GgmlType {
  uint32_t id;
  std::string_view name;  // "Q4_1"
  int block_elements;
  int block_bytes;
  /// Decodes `blocks` consecutive blocks to block_elements x blocks fp32. `data` need not be aligned.
  void (*decode)(const std::byte* data, int64_t blocks, float* out);
};

/// Every type that bitloom decodes.
std::span<const GgmlType> ggml_types();
/// nullptr for a type bitloom does not decode.
const GgmlType* find_ggml_type(uint32_t id);

/// For messages: "Q4_1", "IQ2_XXS (not decoded)", "99 (unknown)".
std::string ggml_type_name(uint32_t id);

}  // namespace bitloom
