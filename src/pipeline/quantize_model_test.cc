#include "pipeline/quantize_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include "base/test_data.h"
#include "io/safetensors/safetensors.h"
#include "model/test_linears.h"
#include "pipeline/test_models.h"
#include "round/kmeans/kmeans.h"
#include "round/nearest/nearest.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kDemo;
using testing::Listener;
using ::testing::Not;
using testing::TempDir;

constexpr const char* kEmbedding = "model.embed_tokens.weight";

/// All files of a directory by name.
std::map<std::string, std::string> contents(const std::string& directory) {
  std::map<std::string, std::string> result;
  for (const auto& entry : fs::directory_iterator(directory)) {
    result[entry.path().filename().string()] = read_text(entry.path().string());
  }
  return result;
}

/// The matrices of the blocks, by tensor name, as [out, in].
std::map<std::string, RowSourcePtr> matrices(const Checkpoint& model) {
  std::map<std::string, RowSourcePtr> result;
  for (const Site& site : linear_sites(model.graph())) result[site.linear->weight] = model.matrix(*site.linear);
  return result;
}

/// Every matrix of the blocks decodes as when it is rounded by itself; everything else has the source's bytes.
void expect_rounded(const std::string& source_path, const std::string& out_path, const GridTarget& spec) {
  const auto source = Checkpoint::open(source_path), out = Checkpoint::open(out_path);
  EXPECT_EQ(out->kind(), CheckpointKind::kBitloom);
  ThreadPool threads(2);
  const auto before = matrices(*source), after = matrices(*out);
  ASSERT_EQ(before.size(), after.size());
  for (const auto& [name, rows] : before) {
    const auto direct = quantize_nearest(name, *rows, spec, threads);
    EXPECT_EQ(after.at(name)->storage(), to_string(spec.storage));
    EXPECT_EQ(after.at(name)->decode_all(), direct->decode_all()) << name;
  }
  for (const TensorView& view : open_safetensors_directory(source_path)) {
    if (before.contains(view.name) || !out->has(view.name)) continue;
    EXPECT_EQ(out->tensor(view.name).rows->storage(), info(view.dtype).name);
    EXPECT_EQ(out->tensor(view.name).rows->decode_all(), source->tensor(view.name).rows->decode_all()) << view.name;
  }
}

/// Bytes of the headers of a model's weight files.
int64_t header_bytes(const std::string& directory) {
  int64_t total = 0;
  for (const auto& [name, bytes] : contents(directory)) {
    if (!name.ends_with(".safetensors")) continue;
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    total += static_cast<int64_t>(8 + length);
  }
  return total;
}

/// Every byte of the weight files is accounted for by a tensor of the manifest; bits are those of the blocks' matrices,
/// which are all quantized here.
void expect_bytes_add_up(const std::string& out, const QuantizeResult& result) {
  Json manifest = read_json(out + "/bitloom.json");
  int64_t recorded = 0;
  for (const char* table : {"tensors", "kept"}) {
    for (const auto& [name, entry] : manifest[table].items()) recorded += entry["bytes"].get<int64_t>();
  }
  EXPECT_EQ(recorded, manifest["totals"]["tensor_bytes"].get<int64_t>());
  EXPECT_EQ(recorded + header_bytes(out), result.bytes);
  int64_t block_bytes = 0;
  double weights = 0;
  const auto of_blocks = matrices(*Checkpoint::open(out));
  for (const SiteRecord& site : result.sites) {
    const auto count = static_cast<double>(site.rows * site.cols);
    EXPECT_EQ(site.bits_true, 8.0 * static_cast<double>(site.bytes) / count);
    if (!of_blocks.contains(site.name)) continue;
    block_bytes += site.bytes;
    weights += count;
  }
  EXPECT_DOUBLE_EQ(result.bits_true, 8.0 * static_cast<double>(block_bytes) / weights);
}

/// Storages whose sizes only the result tells: announced, written and accounted for all the same.
TEST(QuantizeModel, CodebooksOfMixedWidthsAndOutliers) {
  for (const char* text : {"kmeans+codebook2.5-col", "kmeans:outliers=0.001+codebook3-col", "kmeans+codebook4-g64"}) {
    const TempDir dir;
    const std::string out = dir.file("out");
    const Recipe recipe = load_recipe(text);
    const QuantizeResult result = testing::quantize(kDemo, out, text);
    expect_bytes_add_up(out, result);
    EXPECT_NO_THROW(testing::verify(out));
    EXPECT_FALSE(fs::exists(fs::path(out) / "rounded"));
    const auto source = Checkpoint::open(kDemo), reopened = Checkpoint::open(out);
    const RecipeStep& step = recipe.steps[0];
    ThreadPool threads(1);
    const auto after = matrices(*reopened);
    for (const auto& [name, rows] : matrices(*source)) {
      const auto direct =
          quantize_kmeans(name, *rows, step.storage(), *step.rounding.get_if<KMeansRounding>(), threads);
      EXPECT_EQ(after.at(name)->storage(), to_string(step.storage()));
      EXPECT_EQ(after.at(name)->decode_all(), direct->decode_all()) << text << " " << name;
    }
    // The manifest names the rounding that made the codes.
    for (const SiteRecord& site : result.sites) EXPECT_EQ(site.rounding, to_short(step.rounding));
  }
}

class EveryFormat : public ::testing::TestWithParam<const char*> {};

TEST_P(EveryFormat, ReopensAsItWasRounded) {
  const TempDir dir;
  const std::string out = dir.file("out");
  const QuantizeResult result = testing::quantize(kDemo, out, GetParam());
  EXPECT_EQ(result.sites.size(), 42u);  // 6 blocks of 7
  expect_rounded(kDemo, out, parse_grid_target(GetParam()));
  expect_bytes_add_up(out, result);
  EXPECT_GE(result.bits_true, result.bits_nominal * 0.999);
  EXPECT_NO_THROW(testing::verify(out));
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryFormat,
                         ::testing::Values("int8-row", "int8-tensor", "int7-g64", "int6-g100", "int5-g32-asym",
                                           "int4-g128", "int4-g32-asym", "int3-g64-mse", "int2-g16-asym", "e2m1-g32",
                                           "e2m1-g256-m2mse", "e3m2-row", "e2m3-g64", "e4m3-row", "e5m2-row", "nf4-g64",
                                           "mxfp4", "mxfp6e2m3", "mxfp6e3m2", "mxfp8e4m3", "mxfp8e5m2", "mxint8",
                                           "nvfp4", "int4-block32x32", "int4-g1000000"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(QuantizeModel, GivesTheSameBytesForAnyNumberOfThreads) {
  const TempDir dir;
  for (const int threads : {1, 2, 3}) {
    testing::quantize(kDemo, dir.file(std::to_string(threads)), "small3", {}, threads);
  }
  const auto one = contents(dir.file("1"));
  EXPECT_EQ(one, contents(dir.file("2")));
  EXPECT_EQ(one, contents(dir.file("3")));
}

TEST(QuantizeModel, DoesNotRecordWhereItRan) {
  const TempDir dir;
  testing::copy_model(kDemo, dir.file("demo"));
  testing::quantize(kDemo, dir.file("a"), "int4-g64");
  testing::quantize(dir.file("demo") + "/", dir.file("b"), "int4-g64");
  EXPECT_EQ(contents(dir.file("a")), contents(dir.file("b")));
  EXPECT_THAT(contents(dir.file("a")).at("bitloom.json"), Not(HasSubstr(dir.path())));
}

TEST(QuantizeModel, RecordsSourceRecipeAndFiles) {
  const TempDir dir;
  const std::string out = dir.file("out");
  const Recipe recipe = load_recipe("small4");
  Listener listener;
  testing::quantize(kDemo, out, recipe, listener);
  EXPECT_EQ(listener.done, listener.announced);

  Json manifest = read_json(out + "/bitloom.json");
  EXPECT_EQ(manifest["source"]["name"], "demo");
  EXPECT_EQ(manifest["source"]["kind"], "huggingface");
  for (const char* file : {"model.safetensors", "config.json", "tokenizer.json"}) {
    EXPECT_EQ(manifest["source"]["files"][file]["sha256"], sha256_file(std::string(kDemo) + "/" + file)) << file;
  }
  EXPECT_EQ(parse_recipe(dump_json(manifest["recipe"]), "manifest"), recipe);
  std::set<std::string> listed;
  for (const auto& [name, entry] : manifest["files"].items()) {
    listed.insert(name);
    EXPECT_EQ(entry["sha256"], sha256_file(out + "/" + name));
    EXPECT_EQ(entry["bytes"], fs::file_size(out + "/" + name));
  }
  for (const auto& [name, bytes] : contents(out)) EXPECT_TRUE(name == "bitloom.json" || listed.contains(name)) << name;
  EXPECT_TRUE(listed.contains("tokenizer.json"));
  // The head is tied, so embedding and head are one more quantized matrix.
  EXPECT_EQ(manifest["tensors"].size(), 43u);
  EXPECT_EQ(manifest["tensors"][kEmbedding]["shape"], (Json{4096, 192}));

  Json config = read_json(out + "/config.json");
  EXPECT_EQ(config["quantization_config"]["quant_method"], "bitloom");
  EXPECT_EQ(config["quantization_config"]["tensors"]["model.layers.0.mlp.down_proj.weight"],
            (Json{{"storage", to_string(recipe.steps[0].storage())}, {"shape", {192, 512}}}));
  config.erase("quantization_config");
  EXPECT_EQ(config, read_json(std::string(kDemo) + "/config.json"));
}

TEST(QuantizeModel, WritesShards) {
  const TempDir dir;
  const std::string out = dir.file("out");
  QuantizeOptions options;
  options.shard_bytes = 300'000;
  const QuantizeResult result = testing::quantize(kDemo, out, "int4-g32", options);
  const auto files = contents(out);
  EXPECT_TRUE(files.contains("model.safetensors.index.json"));
  EXPECT_FALSE(files.contains("model.safetensors"));
  expect_rounded(kDemo, out, parse_grid_target("int4-g32"));
  expect_bytes_add_up(out, result);
  EXPECT_NO_THROW(testing::verify(out));
}

/// Conv1D: the file holds [in, out], the quantized matrix is [out, in].
TEST(QuantizeModel, TransposesWhatIsStoredTransposed) {
  const TempDir dir;
  const std::string source = testing::golden("forward/gpt2");
  testing::quantize(source, dir.file("out"), "int4-g16-asym");
  expect_rounded(source, dir.file("out"), parse_grid_target("int4-g16-asym"));
  Json config = read_json(dir.file("out") + "/config.json");
  const auto model = Checkpoint::open(source);
  const Linear& qkv = testing::linear_of(model->graph(), 0, "qkv");
  EXPECT_EQ(config["quantization_config"]["tensors"][qkv.weight]["shape"], (Json{qkv.out, qkv.in}));
}

TEST(QuantizeModel, QuantizesFusedAndUntiedModels) {
  for (const char* name : {"phi3", "gpt_neox", "opt_350m", "gemma2", "qwen3"}) {
    const TempDir dir;
    const std::string source = testing::golden(std::string("forward/") + name);
    testing::quantize(source, dir.file("out"), "int8-g32");
    expect_rounded(source, dir.file("out"), parse_grid_target("int8-g32"));
    EXPECT_NO_THROW(testing::verify(dir.file("out"))) << name;
  }
}

TEST(QuantizeModel, TakesOverWhatAQuantizedSourceKeeps) {
  const TempDir dir;
  testing::quantize(kDemo, dir.file("first"), "int4-g32");
  Listener listener;
  const Recipe second = parse_recipe("steps: [{quantize: int8-row, targets: [down, embedding]}]", "second.yaml");
  const QuantizeResult result = testing::quantize(dir.file("first"), dir.file("second"), second, listener);

  EXPECT_THAT(listener.lines, ElementsAre(AllOf(HasSubstr("matrices that come quantized as int4-g32: 6;"),
                                                HasSubstr("rounded again"))));
  const auto first = Checkpoint::open(dir.file("first")), again = Checkpoint::open(dir.file("second"));
  const std::string up = "model.layers.2.mlp.up_proj.weight", down = "model.layers.2.mlp.down_proj.weight";
  EXPECT_EQ(again->tensor(up).rows->storage(), "int4-g32");
  EXPECT_EQ(again->tensor(up).rows->decode_all(), first->tensor(up).rows->decode_all());
  ThreadPool threads(2);
  EXPECT_EQ(again->tensor(down).rows->decode_all(),
            quantize_nearest(down, *first->tensor(down).rows, parse_grid_target("int8-row"), threads)->decode_all());
  EXPECT_EQ(result.sites.size(), 43u);
  Json manifest = read_json(dir.file("second") + "/bitloom.json");
  EXPECT_EQ(manifest["tensors"][up]["taken_over"], true);
  EXPECT_FALSE(manifest["tensors"][up].contains("weight_error"));
  EXPECT_TRUE(manifest["tensors"][down].contains("weight_error"));
  expect_bytes_add_up(dir.file("second"), result);
  EXPECT_NO_THROW(testing::verify(dir.file("second")));
}

/// Of six blocks two stay BF16, and so does the embedding, which is of no block.
TEST(QuantizeModel, CountsTheBitsOfKeptMatricesOfTheBlocks) {
  const TempDir dir;
  Progress silent;
  const Recipe recipe = parse_recipe("steps: [{quantize: int4-g32}, {keep: [blocks.0.*, blocks.-1.*]}]", "r.yaml");
  const QuantizeResult result = testing::quantize(kDemo, dir.file("out"), recipe, silent);
  EXPECT_DOUBLE_EQ(result.bits_nominal, (4 * 4.5 + 2 * 16) / 6);
  EXPECT_DOUBLE_EQ(result.bits_true, (4 * 4.5 + 2 * 16) / 6);
  EXPECT_GT(result.bits_true_model, result.bits_true);
}

TEST(QuantizeModel, KeepsEveryValueOfAGgufSource) {
  BITLOOM_REQUIRE_SMOLLM2();
  const TempDir dir;
  Listener listener;
  const Recipe recipe = load_recipe("int4-g128");
  const QuantizeResult result = testing::quantize(testing::smollm2_path(), dir.file("out"), recipe, listener);
  EXPECT_EQ(result.sites.size(), 211u);
  EXPECT_DOUBLE_EQ(result.bits_nominal, 4.125) << "the blocks', whatever the embedding takes";
  EXPECT_THAT(listener.lines, ElementsAre(HasSubstr("matrices that come quantized as Q4_1: 210;")));
  EXPECT_EQ(listener.done, listener.announced) << "planning, writing and hashing";
  const auto source = Checkpoint::open(testing::smollm2_path()), out = Checkpoint::open(dir.file("out"));
  for (const CheckpointTensor& tensor : source->tensors()) {
    if (out->tensor(tensor.name).rows->storage() == to_string(recipe.steps[0].storage())) continue;
    EXPECT_EQ(out->tensor(tensor.name).shape, tensor.shape);
    EXPECT_EQ(out->tensor(tensor.name).rows->decode_all(), tensor.rows->decode_all()) << tensor.name;
  }
  EXPECT_EQ(source->tensor(kEmbedding).rows->storage(), "Q8_0");
  EXPECT_EQ(out->tensor(kEmbedding).rows->storage(), "int8-narrow-g32");
  EXPECT_EQ(out->tensor(kEmbedding).rows->stored_bytes(), source->tensor(kEmbedding).rows->stored_bytes());
  Json manifest = read_json(dir.file("out") + "/bitloom.json");
  EXPECT_EQ(manifest["tensors"][kEmbedding]["taken_over"], true);
  EXPECT_EQ(out->tokenizer().encode("Once upon a time"), source->tokenizer().encode("Once upon a time"));
  EXPECT_NO_THROW(testing::verify(dir.file("out")));
  expect_bytes_add_up(dir.file("out"), result);
}

}  // namespace
}  // namespace bitloom
