#include "io/ggml/ggml_types.h"

#include <fmt/format.h>

#include <utility>

#include "io/ggml/ggml_decoders.h"

namespace bitloom {
namespace {

/// Unquantized types: blocks of one element.
template <DType kDType>
void decode_dense(const std::byte* data, int64_t blocks, float* out) {
  decode_to_f32(kDType, data, 0, blocks, out);
}

constexpr GgmlType kTypes[] = {
    {0, "F32", 1, 4, decode_dense<DType::kF32>},    {1, "F16", 1, 2, decode_dense<DType::kF16>},
    {30, "BF16", 1, 2, decode_dense<DType::kBF16>}, {28, "F64", 1, 8, decode_dense<DType::kF64>},
    {24, "I8", 1, 1, decode_dense<DType::kI8>},     {25, "I16", 1, 2, decode_dense<DType::kI16>},
    {26, "I32", 1, 4, decode_dense<DType::kI32>},   {27, "I64", 1, 8, decode_dense<DType::kI64>},
    {8, "Q8_0", 32, 34, ggml::decode_q8_0},         {2, "Q4_0", 32, 18, ggml::decode_q4_0},
    {3, "Q4_1", 32, 20, ggml::decode_q4_1},         {6, "Q5_0", 32, 22, ggml::decode_q5_0},
    {7, "Q5_1", 32, 24, ggml::decode_q5_1},         {20, "IQ4_NL", 32, 18, ggml::decode_iq4_nl},
    {39, "MXFP4", 32, 17, ggml::decode_mxfp4},      {10, "Q2_K", 256, 84, ggml::decode_q2_k},
    {11, "Q3_K", 256, 110, ggml::decode_q3_k},      {12, "Q4_K", 256, 144, ggml::decode_q4_k},
    {13, "Q5_K", 256, 176, ggml::decode_q5_k},      {14, "Q6_K", 256, 210, ggml::decode_q6_k},
    {23, "IQ4_XS", 256, 136, ggml::decode_iq4_xs},
};

/// Types that exist and are not decoded here, so that a message can name them.
constexpr std::pair<uint32_t, std::string_view> kOthers[] = {
    {9, "Q8_1"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {21, "IQ3_S"},
    {22, "IQ2_S"}, {29, "IQ1_M"}, {34, "TQ1_0"},   {35, "TQ2_0"},  {40, "NVFP4"},   {41, "Q1_0"},  {42, "Q2_0"},
};

}  // namespace

std::span<const GgmlType> ggml_types() { return kTypes; }

const GgmlType* find_ggml_type(uint32_t id) {
  for (const GgmlType& type : kTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

std::string ggml_type_name(uint32_t id) {
  if (const GgmlType* type = find_ggml_type(id)) return std::string(type->name);
  for (const auto& [other, name] : kOthers) {
    if (other == id) return fmt::format("{} (not decoded)", name);
  }
  return fmt::format("{} (unknown)", id);
}

}  // namespace bitloom
