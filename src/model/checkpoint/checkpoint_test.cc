#include "model/checkpoint/checkpoint.h"

#include <filesystem>

#include "base/clock.h"
#include "base/test_data.h"
#include "io/safetensors/safetensors.h"
#include "model/checkpoint/test_checkpoint.h"
#include "model/test_linears.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::llama_config;
using testing::refusal;
using testing::TempDir;
using testing::TinyCheckpoint;
using testing::with;
using testing::write_file;

const std::string kQ = "model.layers.1.self_attn.q_proj.weight";

Json gpt2_config() {
  return {{"model_type", "gpt2"}, {"vocab_size", 40}, {"n_embd", 8},
          {"n_layer", 1},         {"n_head", 2},      {"n_positions", 16}};
}

std::string refused(const std::string& path) {
  return refusal([&] { Checkpoint::open(path); });
}

std::string refused(const TinyCheckpoint& tiny) {
  const TempDir dir;
  tiny.write(dir.path());
  return refused(dir.path());
}

TEST(Checkpoint, OpensADirectory) {
  const TempDir dir;
  TinyCheckpoint tiny(llama_config());
  tiny.set("model.layers.0.self_attn.rotary_emb.inv_freq", {4});
  tiny.write(dir.path());
  const auto checkpoint = Checkpoint::open(dir.path());
  EXPECT_EQ(checkpoint->kind(), CheckpointKind::kHuggingFace);
  EXPECT_EQ(checkpoint->path(), dir.path());
  EXPECT_EQ(checkpoint->graph().architecture, "llama");
  EXPECT_EQ(checkpoint->config()["hidden_size"], 32);
  EXPECT_EQ(checkpoint->tensors().size(), 2 * 9 + 3u);
  EXPECT_EQ(checkpoint->tensors().front().name, "model.embed_tokens.weight");
  EXPECT_THAT(checkpoint->unused_tensors(), ElementsAre("model.layers.0.self_attn.rotary_emb.inv_freq"));
  EXPECT_THAT(checkpoint->weight_files(), ElementsAre(dir.file("model.safetensors")));
  EXPECT_TRUE(checkpoint->has(kQ));
  EXPECT_FALSE(checkpoint->has("model.layers.2.self_attn.q_proj.weight"));
  EXPECT_THAT(checkpoint->tensor(kQ).shape, ElementsAre(32, 32));
  const RowSourcePtr q = checkpoint->matrix(testing::linear_of(checkpoint->graph(), 1, "q"));
  EXPECT_EQ(q->rows(), 32);
  // The writer's order is expected_tensors': the embedding, nine tensors of layer 0, layer 1's norm, q.
  EXPECT_THAT(q->decode_all(), ElementsAreArray(TinyCheckpoint::values_of(11, 32 * 32)));
  EXPECT_THAT(checkpoint->vector("model.layers.1.input_layernorm.weight"),
              ElementsAreArray(TinyCheckpoint::values_of(10, 32)));
}

TEST(Checkpoint, OpensShards) {
  const TempDir dir;
  TinyCheckpoint(llama_config()).write(dir.path(), 8192);
  const auto checkpoint = Checkpoint::open(dir.path());
  EXPECT_GT(checkpoint->weight_files().size(), 3u);
  EXPECT_THAT(checkpoint->tensor(kQ).rows->decode_all(), ElementsAreArray(TinyCheckpoint::values_of(11, 32 * 32)));
}

TEST(Checkpoint, TransposesConv1D) {
  const TempDir dir;
  TinyCheckpoint(gpt2_config()).write(dir.path());
  const auto checkpoint = Checkpoint::open(dir.path());
  const Linear& up = testing::linear_of(checkpoint->graph(), 0, "up");
  EXPECT_THAT(checkpoint->tensor(up.weight).shape, ElementsAre(8, 32));
  const std::vector<float> stored = checkpoint->tensor(up.weight).rows->decode_all();
  const RowSourcePtr matrix = checkpoint->matrix(up);
  ASSERT_EQ(matrix->rows(), 32);
  ASSERT_EQ(matrix->cols(), 8);
  const std::vector<float> decoded = matrix->decode_all();
  for (size_t out = 0; out < 32; ++out) {
    for (size_t in = 0; in < 8; ++in) EXPECT_EQ(decoded[out * 8 + in], stored[in * 32 + out]);
  }
  const Linear& head = checkpoint->graph().head;  // tied, stored [out, in]
  EXPECT_EQ(checkpoint->matrix(head)->rows(), 40);
}

TEST(Checkpoint, GenerationConfigDecidesTheEndTokens) {
  const TempDir dir;
  TinyCheckpoint(with(llama_config(), "eos_token_id", 2)).write(dir.path());
  EXPECT_THAT(Checkpoint::open(dir.path())->graph().eos_ids, ElementsAre(2));
  write_file(dir.file("generation_config.json"), R"({"eos_token_id": [7, 9]})");
  EXPECT_THAT(Checkpoint::open(dir.path())->graph().eos_ids, ElementsAre(7, 9));
}

TEST(Checkpoint, CarriesCompanionFiles) {
  const TempDir dir;
  TinyCheckpoint(llama_config()).write(dir.path());
  write_file(dir.file("generation_config.json"), "{}");
  write_file(dir.file("merges.txt"), "a b\n");
  write_file(dir.file("training_args.bin"), "no");
  const std::map<std::string, std::string> expected = {{"generation_config.json", "{}"}, {"merges.txt", "a b\n"}};
  EXPECT_EQ(Checkpoint::open(dir.path())->companion_files(), expected);
}

TEST(Checkpoint, RefusesPathsThatAreNoModel) {
  const TempDir dir;
  EXPECT_EQ(refused(dir.file("absent")), dir.file("absent") + ": no such file or directory");
  write_file(dir.file("notes.txt"), "GG");
  EXPECT_EQ(refused(dir.file("notes.txt")), dir.file("notes.txt") + ": neither a model directory nor a GGUF file");
  EXPECT_EQ(refused(dir.path()),
            dir.path() + ": no config.json; expected a model directory with config.json and weights");
  write_file(dir.file("config.json"), R"({"model_type": "llama"})");
  EXPECT_THAT(refused(dir.path()), HasSubstr("model.safetensors"));
  write_file(dir.file("pytorch_model.bin"), "x");
  EXPECT_EQ(refused(dir.path()), dir.file("pytorch_model.bin") + ": no zip archive, which torch.save writes");
  write_file(dir.file("config.json"), "{}");
  EXPECT_EQ(refused(dir.path()), dir.file("config.json") + ": key 'model_type' is missing");
}

TEST(Checkpoint, RefusesTensorsThatDoNotFit) {
  TinyCheckpoint missing(llama_config());
  missing.erase(kQ);
  EXPECT_THAT(refused(missing), EndsWith(": tensor '" + kQ + "' is missing, expected with shape [32, 32]"));
  TinyCheckpoint shape(llama_config());
  shape.set(kQ, {32, 16});
  EXPECT_THAT(refused(shape), EndsWith("model.safetensors: tensor '" + kQ + "' has shape [32, 16], expected [32, 32]"));
  TinyCheckpoint dtype(llama_config());
  dtype.set(kQ, {32, 32}, DType::kI32);
  EXPECT_THAT(refused(dtype),
              EndsWith("model.safetensors: tensor '" + kQ + "' has dtype I32, expected a floating-point type"));
  TinyCheckpoint vocabulary(llama_config());
  vocabulary.config()["vocab_size"] = 48;
  EXPECT_THAT(refused(vocabulary),
              EndsWith("tensor 'model.embed_tokens.weight' has shape [40, 32], expected [48, 32]"));
}

TEST(Checkpoint, RefusesAMissingShard) {
  const TempDir dir;
  TinyCheckpoint(llama_config()).write(dir.path(), 8192);
  const std::string shard = Checkpoint::open(dir.path())->weight_files()[1];
  std::filesystem::remove(shard);
  EXPECT_THAT(refused(dir.path()), HasSubstr(std::filesystem::path(shard).filename().string()));
}

TEST(Checkpoint, TheIndexMayNameTensorsThatNobodyNeeds) {
  const TempDir dir;
  TinyCheckpoint(with(llama_config(), "tie_word_embeddings", true)).write(dir.path(), 8192);
  const std::string index = dir.file("model.safetensors.index.json");
  Json document = read_json(index);
  const std::string shard = document["weight_map"][kQ];
  document["weight_map"]["lm_head.weight"] = shard;
  document["weight_map"]["model.layers.0.self_attn.rotary_emb.inv_freq"] = shard;
  write_file(index, document.dump());
  EXPECT_TRUE(Checkpoint::open(dir.path())->graph().tied_head);
  document["weight_map"][kQ] = document["weight_map"]["model.norm.weight"];
  write_file(index, document.dump());
  EXPECT_EQ(refused(dir.path()), dir.file(document["weight_map"][kQ].get<std::string>()) + ": tensor '" + kQ +
                                     "' is missing, expected with shape [32, 32]");
}

TEST(Checkpoint, RefusesForeignQuantization) {
  TinyCheckpoint tiny(llama_config());
  tiny.config()["quantization_config"] = {{"quant_method", "awq"}, {"bits", 4}};
  EXPECT_THAT(refused(tiny), HasSubstr("config.json: quantization_config.quant_method is \"awq\""));
}

/// The bytes of 40 x 32 equal values.
std::string forty_rows(const std::string& value) {
  std::string bytes;
  for (int i = 0; i < 40 * 32; ++i) bytes += value;
  return bytes;
}

TEST(Checkpoint, ATiedHeadThatSaysTheSameIsNotKept) {
  TinyCheckpoint tiny(with(llama_config(), "tie_word_embeddings", true));
  const std::string half("\0\0\0\x3F", 4), half_bf16("\0\x3F", 2);
  tiny.set_bytes("model.embed_tokens.weight", DType::kBF16, {40, 32}, forty_rows(half_bf16));
  for (const bool same_dtype : {true, false}) {
    tiny.set_bytes("lm_head.weight", same_dtype ? DType::kBF16 : DType::kF32, {40, 32},
                   forty_rows(same_dtype ? half_bf16 : half));
    const TempDir dir;
    tiny.write(dir.path());
    const auto checkpoint = Checkpoint::open(dir.path());
    EXPECT_TRUE(checkpoint->graph().tied_head);
    EXPECT_THAT(checkpoint->unused_tensors(), ElementsAre("lm_head.weight"));
    EXPECT_THAT(checkpoint->remarks(), ElementsAre());
  }
}

TEST(Checkpoint, ATiedHeadThatDiffersAnywhereIsKept) {
  TinyCheckpoint tiny(with(llama_config(), "tie_word_embeddings", true));
  const std::string embedding = forty_rows(std::string("\0\0\0\x3F", 4));
  tiny.set_bytes("model.embed_tokens.weight", DType::kF32, {40, 32}, embedding);
  std::string head = embedding;
  head[10 * 32 * 4 + 3] = '\x40';  // 2 in row 10: in no piece of a sample that takes ends and middle
  tiny.set_bytes("lm_head.weight", DType::kF32, {40, 32}, head);
  const TempDir dir;
  tiny.write(dir.path());
  const auto checkpoint = Checkpoint::open(dir.path());
  EXPECT_FALSE(checkpoint->graph().tied_head);
  EXPECT_EQ(checkpoint->config()["tie_word_embeddings"], false);
  EXPECT_EQ(checkpoint->matrix(checkpoint->graph().head)->decode_all()[320], 2.0f);
  EXPECT_EQ(checkpoint->tensor("model.embed_tokens.weight").rows->decode_all()[320], 0.5f);
  EXPECT_THAT(checkpoint->remarks(), ElementsAre(HasSubstr("tensor 'lm_head.weight' differs from")));
}

/// A byte-level tokenizer of `tokens` single characters.
std::string tokenizer_json(int tokens) {
  Json vocab = Json::object();
  for (int i = 0; i < tokens; ++i) vocab[std::string(1, static_cast<char>('!' + i))] = i;
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  return Json({{"version", "1.0"},
               {"added_tokens", Json::array()},
               {"normalizer", nullptr},
               {"pre_tokenizer", byte_level},
               {"post_processor", nullptr},
               {"decoder", byte_level},
               {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}}})
      .dump();
}

TEST(Checkpoint, NamesAPathThatCannotBeFollowed) {
  const TempDir dir;
  std::filesystem::create_symlink(dir.file("loop"), dir.file("loop"));
  EXPECT_EQ(refusal([&] { Checkpoint::open(dir.file("loop")); }),
            dir.file("loop") + ": cannot open: Too many levels of symbolic links");
  std::filesystem::create_directory(dir.file("model"));
  std::filesystem::create_symlink("config.json", dir.file("model/config.json"));
  EXPECT_EQ(refusal([&] { Checkpoint::open(dir.file("model")); }),
            dir.file("model/config.json") + ": cannot open: Too many levels of symbolic links");
}

TEST(Checkpoint, TokenizerMustFitTheEmbedding) {
  const TempDir dir;
  TinyCheckpoint(llama_config()).write(dir.path());
  const auto bare = Checkpoint::open(dir.path());
  EXPECT_FALSE(bare->has_tokenizer());
  EXPECT_EQ(refusal([&] { bare->tokenizer(); }),
            dir.path() +
                ": no tokenizer (expected tokenizer.json, tokenizer.model, tokenizer.bin, vocab.json or tekken.json)");
  write_file(dir.file("tokenizer.json"), tokenizer_json(41));
  EXPECT_TRUE(bare->has_tokenizer());
  EXPECT_EQ(refusal([&] { bare->tokenizer(); }),
            dir.path() +
                ": the tokenizer has 41 ids, more than the 40 rows of the embedding "
                "'model.embed_tokens.weight'");
  write_file(dir.file("tokenizer.json"), tokenizer_json(39));
  EXPECT_EQ(bare->tokenizer().vocab_size(), 39);
}

TEST(Checkpoint, AddedTokensMayLieBeyondTheEmbedding) {
  const TempDir dir;
  TinyCheckpoint(llama_config()).write(dir.path());
  Json document = Json::parse(tokenizer_json(40));
  document["added_tokens"] = {{{"id", 40}, {"content", "<pad>"}, {"special", true}, {"normalized", false}}};
  write_file(dir.file("tokenizer.json"), document.dump());
  const auto checkpoint = Checkpoint::open(dir.path());
  const Tokenizer& tokenizer = checkpoint->tokenizer();
  EXPECT_EQ(tokenizer.vocab_size(), 41);
  const std::string text = tokenizer.id_to_token(3);
  EXPECT_EQ(tokenizer.encode(text, false).size(), 1u);
  EXPECT_EQ(refusal([&] { tokenizer.encode(text + "<pad>"); }),
            dir.file("tokenizer.json") + ": the text holds '<pad>', token 40, but the model embeds 40 tokens");
}

TEST(Checkpoint, OpensTheSharedModels) {
  for (const char* name : {"demo", "english-3m", "stories260K", "babyllama-char"}) {
    BITLOOM_REQUIRE_SHARED(std::string("models/") + name);
    const auto checkpoint = Checkpoint::open(testing::shared_path(std::string("models/") + name));
    EXPECT_EQ(checkpoint->graph().architecture, "llama") << name;
    EXPECT_TRUE(checkpoint->unused_tensors().empty()) << name;
    EXPECT_EQ(checkpoint->tokenizer().vocab_size(), checkpoint->graph().vocab_size) << name;
  }
}

TEST(Checkpoint, OpensModelsThatTransformersWrote) {
  int opened = 0;
  for (const auto& entry : std::filesystem::directory_iterator(testing::golden("forward"))) {
    if (!std::filesystem::exists(entry.path() / "config.json")) continue;
    const auto checkpoint = Checkpoint::open(entry.path().string());
    EXPECT_TRUE(checkpoint->unused_tensors().empty()) << entry.path();
    ++opened;
  }
  EXPECT_GE(opened, 12);
}

TEST(Checkpoint, OpensSmolLM2) {
  BITLOOM_REQUIRE_SMOLLM2();
  const Stopwatch watch;
  const auto checkpoint = Checkpoint::open(testing::smollm2_path());
  EXPECT_LT(watch.seconds(), 1.0);
  EXPECT_EQ(checkpoint->kind(), CheckpointKind::kGguf);
  const Graph& graph = checkpoint->graph();
  EXPECT_EQ(graph.blocks.size(), 30u);
  EXPECT_TRUE(graph.tied_head);
  EXPECT_EQ(graph.norm_eps, 1e-5f);
  EXPECT_EQ(graph.max_positions, 8192);
  EXPECT_EQ(parameter_count(graph), 134515008);
  EXPECT_THAT(graph.eos_ids, ElementsAre(2));
  EXPECT_EQ(checkpoint->config()["rope_theta"], 100000.0);
  EXPECT_EQ(checkpoint->config()["rms_norm_eps"], 1e-5);
  EXPECT_EQ(checkpoint->tensor("model.layers.0.self_attn.q_proj.weight").rows->storage(), "Q4_1");
  EXPECT_TRUE(checkpoint->unused_tensors().empty());
  EXPECT_EQ(checkpoint->tokenizer().vocab_size(), 49152);
}

TEST(Checkpoint, SmolLM2BringsItsTokenizerAsFiles) {
  BITLOOM_REQUIRE_SMOLLM2();
  const auto files = Checkpoint::open(testing::smollm2_path())->companion_files();
  ASSERT_TRUE(files.contains("tokenizer.json"));
  const Tokenizer tokenizer = Tokenizer::from_json(parse_json(files.at("tokenizer.json"), "tokenizer.json"), "gguf");
  EXPECT_EQ(tokenizer.vocab_size(), 49152);
  const Json config = parse_json(files.at("tokenizer_config.json"), "tokenizer_config.json");
  EXPECT_EQ(config["bos_token"], "<|im_start|>");
  EXPECT_EQ(config["eos_token"], "<|im_end|>");
  EXPECT_EQ(config["add_bos_token"], false);
  EXPECT_THAT(config["chat_template"].get<std::string>(), HasSubstr("messages"));
  const Json generation = parse_json(files.at("generation_config.json"), "generation_config.json");
  EXPECT_EQ(generation["eos_token_id"], 2);
}

}  // namespace
}  // namespace bitloom
