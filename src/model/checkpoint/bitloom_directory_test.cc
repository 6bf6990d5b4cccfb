// Directories whose matrices are stored in quantized parts.

#include "base/test_data.h"
#include "format/stored_matrix.h"
#include "format/test_storage.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/test_checkpoint.h"
#include "model/test_linears.h"

namespace bitloom {
namespace {

using ::testing::ElementsAreArray;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::llama_config;
using testing::refusal;
using testing::TempDir;
using testing::TinyCheckpoint;

const std::string kDown = "model.layers.0.mlp.down_proj.weight";  // [32, 48]

/// Replaces a matrix by its stored parts, and says so in the configuration.
void store(TinyCheckpoint& tiny, const std::string& name, const StoredMatrix& matrix) {
  for (const TensorPart& part : matrix.parts()) {
    tiny.set_bytes(name + part.suffix, part.dtype, part.shape,
                   std::string(reinterpret_cast<const char*>(part.bytes.data()), part.bytes.size()));
  }
  tiny.erase(name);
  Json& section = tiny.config()["quantization_config"];
  section["quant_method"] = "bitloom";
  section["version"] = kLayoutVersion;
  section["tensors"][name] = {{"storage", matrix.storage()}, {"shape", {matrix.rows(), matrix.cols()}}};
}

/// The same with parts of varied bytes (scales are finite whatever they are). Returns what they decode to.
std::vector<float> quantize(TinyCheckpoint& tiny, const std::string& name, const std::string& spec_text, int64_t rows,
                            int64_t cols) {
  const Storage spec = parse_storage(spec_text);
  std::vector<std::vector<std::byte>> parts;
  for (const TensorPart& part : greatest_parts(spec, rows, cols)) {
    std::vector<std::byte>& bytes = parts.emplace_back(static_cast<size_t>(bytes_of(part)));
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 37 % 59);
  }
  const auto matrix = stored_from_bytes(name, spec, rows, cols, std::move(parts));
  store(tiny, name, *matrix);
  return matrix->decode_all();
}

std::string refused(const TinyCheckpoint& tiny) {
  const TempDir dir;
  tiny.write(dir.path());
  return refusal([&] { Checkpoint::open(dir.path()); });
}

TEST(BitloomDirectory, DecodesItsParts) {
  for (const char* spec : {"int4-g16", "int3-g16-asym", "nvfp4", "e3m2-row"}) {
    SCOPED_TRACE(spec);
    TinyCheckpoint tiny(llama_config());
    const std::vector<float> down = quantize(tiny, kDown, spec, 32, 48);
    const std::vector<float> embedding = quantize(tiny, "model.embed_tokens.weight", spec, 40, 32);
    const TempDir dir;
    tiny.write(dir.path(), 4096);
    const auto checkpoint = Checkpoint::open(dir.path());
    EXPECT_EQ(checkpoint->kind(), CheckpointKind::kBitloom);
    const Linear& linear = testing::linear_of(checkpoint->graph(), 0, "down");
    EXPECT_THAT(checkpoint->matrix(linear)->decode_all(), ElementsAreArray(down));
    EXPECT_THAT(checkpoint->tensor("model.embed_tokens.weight").rows->decode_all(), ElementsAreArray(embedding));
    EXPECT_EQ(checkpoint->tensor(kDown).rows->storage(), to_string(parse_storage(spec)));
    EXPECT_TRUE(checkpoint->unused_tensors().empty());
  }
}

TEST(BitloomDirectory, SideTermsArePartsLikeOthers) {
  for (const char* spec : {"int4-g16+lowrank4-int8-row", "codebook3-row+order+outliers0.01",
                           "int4-row+order+lowrank2-codebook4-row+outliers0.01+frame-in16-out8-seed5-outscales"}) {
    SCOPED_TRACE(spec);
    TinyCheckpoint tiny(llama_config());
    const auto down = testing::random_stored(spec, 32, 48, 3);
    store(tiny, kDown, *down);
    const TempDir dir;
    tiny.write(dir.path());
    const auto checkpoint = Checkpoint::open(dir.path());
    EXPECT_THAT(checkpoint->tensor(kDown).rows->decode_all(), ElementsAreArray(down->decode_all()));
    EXPECT_EQ(checkpoint->tensor(kDown).rows->storage(), spec);
    EXPECT_EQ(checkpoint->tensor(kDown).rows->stored_bytes(), down->stored_bytes());
    EXPECT_TRUE(checkpoint->unused_tensors().empty());
  }
  TinyCheckpoint tiny(llama_config());
  store(tiny, kDown, *testing::random_stored("int4-g16+lowrank4-int8-row", 32, 48, 3));
  tiny.erase(kDown + ".low_b.scales");
  EXPECT_THAT(refused(tiny), HasSubstr(kDown + ".low_b.scales"));
}

TEST(BitloomDirectory, QuantizedConv1DIsOutIn) {
  TinyCheckpoint tiny({{"model_type", "gpt2"}, {"vocab_size", 40}, {"n_embd", 8}, {"n_layer", 1}, {"n_head", 2}});
  const std::vector<float> up = quantize(tiny, "transformer.h.0.mlp.c_fc.weight", "int4-g8", 32, 8);
  const TempDir dir;
  tiny.write(dir.path());
  const auto checkpoint = Checkpoint::open(dir.path());
  const Linear& linear = testing::linear_of(checkpoint->graph(), 0, "up");
  EXPECT_THAT(checkpoint->matrix(linear)->decode_all(), ElementsAreArray(up));
  EXPECT_THAT(checkpoint->tensor(linear.weight).shape, ::testing::ElementsAre(32, 8));
}

TEST(BitloomDirectory, SaysWhatInputsAreRoundedTo) {
  TinyCheckpoint tiny(llama_config());
  quantize(tiny, kDown, "int4-g16", 32, 48);
  Json& activations = tiny.config()["quantization_config"]["activations"];
  activations = {{"blocks.0.mlp_down", "int8-token"}};
  const TempDir dir;
  tiny.write(dir.path());
  const auto model = Checkpoint::open(dir.path());
  for (const Input& input : model->graph().blocks[0].inputs) {
    EXPECT_EQ(input.activations.has_value(), input.name == "mlp_down") << input.name;
    if (input.activations) {
      EXPECT_EQ(to_string(*input.activations), "int8-token");
    }
  }
  activations = {{"blocks.0.keys", "int4-asym-token-had4"}, {"blocks.0.probabilities", "int8-asym-token"}};
  const TempDir with_operands;
  tiny.write(with_operands.path());
  const auto rounded = Checkpoint::open(with_operands.path());
  const Attention& attention = rounded->graph().blocks[0].attention;
  EXPECT_EQ(to_string(attention.format_of(Operand::kKeys).value()), "int4-asym-token-had4");
  EXPECT_TRUE(attention.format_of(Operand::kProbabilities));
  EXPECT_FALSE(attention.format_of(Operand::kQueries) || attention.format_of(Operand::kValues));
  activations = {{"blocks.0.probabilities", "int8-token-had4"}};
  EXPECT_THAT(refused(tiny), HasSubstr("int8-token-had4 for 'probabilities': their rows grow with the keys"));
  activations = {{"blocks.0.keys", "int8-tensor"}};
  EXPECT_THAT(refused(tiny), HasSubstr("int8-tensor for 'keys': tokens come one by one here"));
  activations = {{"blocks.0.mlp_up", "int8-token"}};
  EXPECT_THAT(refused(tiny), HasSubstr("activations has 'blocks.0.mlp_up', which is no input of this model; they are "
                                       "named as 'blocks.0.attention'"));
  activations = {{"blocks.0.mlp", "int9-token"}};
  EXPECT_THAT(refused(tiny), HasSubstr("'quantization_config.activations.blocks.0.mlp' is \"int9-token\", "));
  activations = {{"blocks.0.mlp", "e2m1-tensor-at[3]-shift[012]"}};
  EXPECT_THAT(refused(tiny), HasSubstr("3 shifts, and the input has "));
  activations = {{"blocks.0.mlp", "int8-tensor-mse"}};
  EXPECT_THAT(refused(tiny), HasSubstr("a model says which range its activations have (-at), not how to find it"));
  activations = {{"blocks.0.mlp", 8}};
  EXPECT_THAT(refused(tiny), HasSubstr("'quantization_config.activations.blocks.0.mlp' is 8"));
  activations = "int8-token";
  EXPECT_THAT(refused(tiny), HasSubstr("'quantization_config.activations' is "));
}

TEST(BitloomDirectory, RefusesWhatDoesNotFit) {
  const auto broken = [](const std::function<void(TinyCheckpoint&)>& harm) {
    TinyCheckpoint tiny(llama_config());
    quantize(tiny, kDown, "int4-g16", 32, 48);
    harm(tiny);
    return refused(tiny);
  };
  const auto section = [](TinyCheckpoint& tiny) -> Json& { return tiny.config()["quantization_config"]; };
  const std::string key = "config.json: 'quantization_config.tensors." + kDown;
  EXPECT_THAT(broken([&](TinyCheckpoint& t) { t.erase(kDown + ".scales"); }),
              EndsWith("tensor '" + kDown + ".scales' is missing, expected with shape [32, 3]"));
  EXPECT_THAT(broken([&](TinyCheckpoint& t) {
                t.set(kDown + ".codes", {32, 16}, DType::kU8);
              }),
              HasSubstr(kDown + ".codes: shape is [32, 16], int4-g16 needs [32, 24]"));
  EXPECT_THAT(broken([&](TinyCheckpoint& t) { section(t)["version"] = 4; }),
              HasSubstr("'quantization_config.version' is 4, supported: 3"));
  EXPECT_THAT(broken([&](TinyCheckpoint& t) { section(t)["tensors"][kDown]["storage"] = "intt4"; }),
              HasSubstr(key + ".storage' is \"intt4\", "));
  EXPECT_THAT(broken([&](TinyCheckpoint& t) {
                section(t)["tensors"][kDown]["shape"] = {48, 32};
              }),
              EndsWith("tensor '" + kDown + "' has shape [48, 32], expected [32, 48]"));
  EXPECT_THAT(broken([&](TinyCheckpoint& t) {
                section(t)["tensors"][kDown]["shape"] = {32, -48};
              }),
              HasSubstr(key + ".shape' is [32,-48], expected [out, in]"));
  EXPECT_THAT(broken([&](TinyCheckpoint& t) { section(t)["tensors"][kDown].erase("shape"); }),
              HasSubstr(key + ".shape' is absent, expected [out, in]"));
  EXPECT_THAT(broken([&](TinyCheckpoint& t) {
                section(t)["tensors"]["model.layers.9.q.weight"] = {{"storage", "int4-g16"}, {"shape", {32, 48}}};
              }),
              EndsWith("config.json: quantization_config.tensors has 'model.layers.9.q.weight', which is no matrix of "
                       "this model"));
  EXPECT_THAT(broken([&](TinyCheckpoint& t) {
                section(t)["tensors"]["model.norm.weight"] = {{"storage", "int4-g16"}, {"shape", {1, 32}}};
              }),
              HasSubstr("'model.norm.weight' has shape [1, 32], expected [32]"));
}

}  // namespace
}  // namespace bitloom
