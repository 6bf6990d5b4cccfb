#include "export/aqlm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/test_data.h"
#include "export/test_export.h"
#include "format/stored_matrix.h"
#include "forward/decoder.h"
#include "io/hash.h"

namespace bitloom {
namespace {

using ::testing::AllOf;
using testing::export_to;
using ::testing::HasSubstr;
using testing::TempDir;
using testing::tensors_in;
using testing::values_of;

const std::vector<std::string> kNames = {"2x8", "1x9"};

std::string golden_of(const std::string& name) { return testing::golden("export/aqlm/" + name); }

/// W as aqlm/utils.py decodes it: unpack_int_data, then _dequantize_weight.
std::vector<float> decoded(const std::map<std::string, TensorView>& tensors, const std::string& module, int64_t bits) {
  const TensorView &codes = tensors.at(module + ".codes"), &books = tensors.at(module + ".codebooks"),
                   &scales = tensors.at(module + ".scales");
  const int64_t rows = codes.shape[0], groups = codes.shape[1], count = codes.shape[2], entries = int64_t{1} << bits;
  const int64_t width = books.shape[3];
  EXPECT_EQ(codes.dtype, bits <= 8 ? DType::kI8 : DType::kI16);
  EXPECT_EQ(books.dtype, DType::kF16);
  EXPECT_EQ(scales.dtype, DType::kF16);
  EXPECT_EQ(books.shape, (std::vector<int64_t>{count, entries, 1, width}));
  EXPECT_EQ(scales.shape, (std::vector<int64_t>{rows, 1, 1, 1}));
  const std::vector<float> code = values_of(codes), book = values_of(books), scale = values_of(scales);
  std::vector<float> w(static_cast<size_t>(rows * groups * width));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < groups; ++j) {
      float* out = w.data() + (r * groups + j) * width;
      for (int64_t m = 0; m < count; ++m) {
        const auto signed_code = static_cast<int64_t>(code[static_cast<size_t>((r * groups + j) * count + m)]);
        EXPECT_GE(signed_code, -entries / 2);
        EXPECT_LT(signed_code, entries / 2);
        const int64_t entry = (signed_code + entries) % entries;
        for (int64_t c = 0; c < width; ++c) out[c] += book[static_cast<size_t>((m * entries + entry) * width + c)];
      }
      for (int64_t c = 0; c < width; ++c) out[c] *= scale[static_cast<size_t>(r)];
    }
  }
  return w;
}

// fp32 sums in another order: 2^-24 of the sum of magnitudes at each of some ten products of 48 terms, say 1e-5 of the
// greatest logit.
void expect_logits(const std::string& golden) {
  const SafetensorsFile file = open_safetensors(golden + "/golden.safetensors");
  std::map<std::string, TensorView> views;
  for (const TensorView& view : file.tensors) views.emplace(view.name, view);
  const TensorView& shape = views.at("tokens");
  std::vector<int32_t> tokens;
  for (const float token : values_of(shape)) tokens.push_back(static_cast<int32_t>(token));
  const std::vector<float> expected = values_of(views.at("logits"));
  ThreadPool threads(1);
  Decoder decoder(Checkpoint::open(golden), threads);
  const auto hidden = decoder.forward(tokens, shape.shape[0], shape.shape[1]);
  std::vector<float> logits(expected.size());
  decoder.logits(hidden, std::ssize(tokens), logits.data());
  float greatest = 0, off = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    greatest = std::max(greatest, std::abs(expected[i]));
    off = std::max(off, std::abs(logits[i] - expected[i]));
  }
  EXPECT_GT(greatest, 0.1);
  EXPECT_LE(off, 1e-5f * greatest);
}

// Of models that transformers has loaded in this layout (tests/oracle/export_aqlm.py): the same bytes, and what it
// computes with them.
TEST(Aqlm, IsWhatTransformersLoadsAndComputesTheSame) {
  for (const std::string& name : kNames) {
    const std::string golden = golden_of(name);
    const TempDir dir;
    export_to(golden, dir.file("out"));
    const Json layout = read_json(golden + "/layout.json");
    const auto tensors = tensors_in(dir.file("out"));
    EXPECT_EQ(tensors.size(), layout.at("tensors").size());
    for (const auto& [tensor, expected] : layout.at("tensors").items()) {
      ASSERT_TRUE(tensors.contains(tensor)) << tensor;
      const TensorView& view = tensors.at(tensor);
      EXPECT_EQ(info(view.dtype).name, expected.at("dtype").get<std::string>()) << tensor;
      EXPECT_EQ(view.shape, expected.at("shape").get<std::vector<int64_t>>()) << tensor;
      const std::string_view bytes(reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size());
      EXPECT_EQ(sha256_hex(bytes), expected.at("sha256").get<std::string>()) << tensor;
    }
    EXPECT_EQ(read_json(dir.file("out/config.json")).at("quantization_config"), layout.at("quantization_config"));
    expect_logits(golden);
  }
}

TEST(Aqlm, DecodesToTheSameMatrices) {
  for (const std::string& name : kNames) {
    const TempDir dir;
    const ExportReport report = export_to(golden_of(name), dir.file("out"));
    const auto tensors = tensors_in(dir.file("out"));
    int64_t matrices = 0, wrapped = 0;
    const auto model = Checkpoint::open(golden_of(name));
    for (const CheckpointTensor& tensor : model->tensors()) {
      if (dynamic_cast<const StoredMatrix*>(tensor.rows.get()) == nullptr) continue;
      const std::string module = tensor.name.substr(0, tensor.name.rfind('.'));
      EXPECT_EQ(decoded(tensors, module, name == "2x8" ? 8 : 9), tensor.rows->decode_all()) << tensor.name;
      for (const float code : values_of(tensors.at(module + ".codes"))) wrapped += code < 0 ? 1 : 0;
      ++matrices;
    }
    EXPECT_EQ(report.matrices, matrices);
    EXPECT_GT(wrapped, 0) << "codes from 2^(B-1) on";
  }
}

TEST(Aqlm, ReplacesADirectoryOnlyWhenTold) {
  const TempDir dir;
  export_to(golden_of("2x8"), dir.file("out"));
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [&] { export_to(golden_of("2x8"), dir.file("out")); }),
              HasSubstr(dir.file("out")));
  EXPECT_EQ(export_to(golden_of("2x8"), dir.file("out"), true).layout, "2x8 g8");
}

TEST(Aqlm, IsATarget) {
  EXPECT_EQ(find_export_target("aqlm").write, export_aqlm);
  EXPECT_THAT(testing::message_of(ErrorKind::kUsage, [] { find_export_target("gguf"); }),
              AllOf(HasSubstr("'gguf'"), HasSubstr("there are: aqlm")));
}

}  // namespace
}  // namespace bitloom
