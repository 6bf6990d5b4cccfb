#include "io/ggml/ggml_types.h"

#include <gmock/gmock.h>

#include <bit>
#include <map>

#include "base/test_data.h"
#include "io/safetensors/safetensors.h"

namespace bitloom {
namespace {

using testing::golden;

std::map<std::string, TensorView> golden_tensors() {
  std::map<std::string, TensorView> tensors;
  for (TensorView& tensor : open_safetensors(golden("io/ggml.safetensors")).tensors) tensors[tensor.name] = tensor;
  return tensors;
}

class GgmlDecoder : public ::testing::TestWithParam<GgmlType> {};

TEST_P(GgmlDecoder, DecodesToTheBitsOfPyPiGguf) {
  const GgmlType& type = GetParam();
  const auto tensors = golden_tensors();
  const TensorView& blocks = tensors.at(std::string(type.name) + ".blocks");
  const std::vector<float> expected = dense_rows(tensors.at(std::string(type.name) + ".values"))->decode_all();
  ASSERT_EQ(blocks.shape.at(1), type.block_bytes);
  ASSERT_EQ(static_cast<int64_t>(expected.size()), blocks.shape[0] * type.block_elements);
  ASSERT_GE(expected.size(), 256u);

  // At an odd address, so that a decoder that relies on alignment is seen by the sanitizer.
  std::vector<std::byte> moved(blocks.bytes.size() + 1);
  std::copy(blocks.bytes.begin(), blocks.bytes.end(), moved.begin() + 1);
  std::vector<float> values(expected.size());
  type.decode(moved.data() + 1, blocks.shape[0], values.data());
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), std::bit_cast<uint32_t>(expected[i]))
        << "element " << i << ": " << values[i] << ", expected " << expected[i];
  }
}

INSTANTIATE_TEST_SUITE_P(All, GgmlDecoder, ::testing::ValuesIn(ggml_types().begin(), ggml_types().end()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(GgmlTypes, FindsById) {
  for (const GgmlType& type : ggml_types()) {
    EXPECT_EQ(find_ggml_type(type.id), &type);
    EXPECT_EQ(ggml_type_name(type.id), type.name);
  }
  EXPECT_EQ(find_ggml_type(16), nullptr);
  EXPECT_EQ(ggml_type_name(16), "IQ2_XXS (not decoded)");
  EXPECT_EQ(ggml_type_name(999), "999 (unknown)");
}

}  // namespace
}  // namespace bitloom
