// What a reader of GGUF takes for metadata that a file does not have, after the format's own reader, llama.cpp.

#include "base/test_data.h"
#include "io/test_support.h"
#include "model/checkpoint/checkpoint.h"
#include "model/gguf/gguf_names.h"
#include "model/test_names.h"

namespace bitloom {
namespace {

using testing::bytes_of_number;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::refusal;
using testing::TempDir;

/// Metadata of a model of 2 heads and a width of 8, and tensors of ones.
class Header {
 public:
  explicit Header(const std::string& architecture) : architecture_(architecture) {
    text("general.architecture", architecture);
    const std::pair<const char*, uint32_t> sizes[] = {{"context_length", 64},
                                                      {"embedding_length", 8},
                                                      {"block_count", 2},
                                                      {"feed_forward_length", 12},
                                                      {"attention.head_count", 2}};
    for (const auto& [name, size] : sizes) integer(name, size);
    number("attention.layer_norm_rms_epsilon", 1e-5f);
    tensor("token_embd.weight", {8, 16});
  }

  Header& text(const std::string& key, const std::string& value) { return entry(key, 8, string(value)); }
  Header& own_text(const std::string& name, const std::string& value) { return text(own(name), value); }
  Header& integer(const std::string& name, uint32_t value) { return entry(own(name), 4, bytes_of_number(value)); }
  Header& number(const std::string& name, float value) {
    return entry(own(name), 6, std::string(reinterpret_cast<const char*>(&value), sizeof value));
  }
  Header& flag(const std::string& name, bool value) { return entry(own(name), 7, std::string(1, value ? '\1' : '\0')); }
  Header& tensor(const std::string& name, const std::vector<uint64_t>& extents) {
    tensors_ += string(name) + bytes_of_number(static_cast<uint32_t>(extents.size()));
    uint64_t count = 1;
    for (const uint64_t extent : extents) tensors_ += bytes_of_number(extent), count *= extent;
    tensors_ += bytes_of_number(uint32_t{0}) + bytes_of_number(uint64_t{data_.size()});
    const std::string one("\0\0\x80\x3F", 4);
    for (uint64_t i = 0; i < count; ++i) data_ += one;
    data_.resize((data_.size() + 31) / 32 * 32);
    ++tensor_count_;
    return *this;
  }

  void write(const std::string& path) const {
    std::string bytes = "GGUF" + bytes_of_number(uint32_t{3}) + bytes_of_number(uint64_t{tensor_count_}) +
                        bytes_of_number(uint64_t{key_count_}) + keys_ + tensors_;
    bytes.resize((bytes.size() + 31) / 32 * 32);
    testing::write_file(path, bytes + data_);
  }
  Json config() const {
    const TempDir dir;
    write(dir.file("m.gguf"));
    return config_from_gguf(GgufFile::open(dir.file("m.gguf")));
  }

 private:
  static std::string string(const std::string& value) { return bytes_of_number(uint64_t{value.size()}) + value; }
  std::string own(const std::string& name) const { return architecture_ + "." + name; }
  Header& entry(const std::string& key, uint32_t type, const std::string& value) {
    keys_ += string(key) + bytes_of_number(type) + value;
    ++key_count_;
    return *this;
  }

  std::string architecture_, keys_, tensors_, data_;
  size_t key_count_ = 0, tensor_count_ = 0;
};

Json scaling(const Header& header) { return header.config().value("rope_scaling", Json()); }

TEST(GgufConfig, AFactorWithoutATypeIsLinear) {
  const Json linear = {{"rope_type", "linear"}, {"factor", 4.0}};
  EXPECT_EQ(scaling(Header("llama").number("rope.scaling.factor", 4.0f)), linear);
  EXPECT_EQ(scaling(Header("llama").number("rope.scale_linear", 4.0f)), linear);
  EXPECT_EQ(scaling(Header("llama").number("rope.scaling.factor", 4.0f).number("rope.scale_linear", 2.0f)), linear);
  EXPECT_EQ(scaling(Header("llama").number("rope.scale_linear", 4.0f).own_text("rope.scaling.type", "linear")), linear);
}

TEST(GgufConfig, NoFactorIsNoScaling) {
  EXPECT_EQ(scaling(Header("llama")), Json());
  EXPECT_EQ(scaling(Header("llama").own_text("rope.scaling.type", "linear")), Json());
  EXPECT_EQ(scaling(Header("llama").number("rope.scaling.factor", 0.0f)), Json());
  EXPECT_EQ(scaling(Header("llama").number("rope.scaling.factor", 4.0f).own_text("rope.scaling.type", "none")), Json());
}

TEST(GgufConfig, TheOriginalContextIsTheContext) {
  const Json yarn = {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 64}};
  EXPECT_EQ(scaling(Header("llama").number("rope.scaling.factor", 4.0f).own_text("rope.scaling.type", "yarn")), yarn);
  Header phi3("phi3");
  phi3.tensor("rope_factors_short.weight", {2}).tensor("rope_factors_long.weight", {2});
  EXPECT_EQ(scaling(phi3)["original_max_position_embeddings"], 64);
  EXPECT_EQ(scaling(phi3)["attention_factor"], 1.0);
}

TEST(GgufConfig, FactorsOfBothKindsAreRefused) {
  Header header("llama");
  header.tensor("rope_freqs.weight", {2});
  EXPECT_EQ(scaling(header)["rope_type"], "longrope");
  header.number("rope.scaling.factor", 4.0f);
  EXPECT_THAT(refusal([&] { header.config(); }),
              HasSubstr("'llama.rope.scaling.type' is 'linear' with factor 4 beside the tensor 'rope_freqs.weight'"));
}

TEST(GgufConfig, ValuesAreAsWideAsAnEqualShare) {
  EXPECT_THAT(refusal([] { Header("llama").integer("attention.key_length", 8).config(); }),
              HasSubstr("'llama.attention.key_length' is 8 and 'llama.attention.value_length' is 4"));
}

TEST(GgufConfig, Gemma3WithoutAWindowHasNoLocalLayers) {
  const Json config = Header("gemma3").config();
  EXPECT_THAT(config["layer_types"], ElementsAre("full_attention", "full_attention"));
  EXPECT_EQ(config["rope_theta"], 10000.0);
  const Json windowed = Header("gemma3").integer("attention.sliding_window", 5).config();
  EXPECT_EQ(windowed["sliding_window"], 5);
  EXPECT_EQ(windowed["sliding_window_pattern"], 6);
}

TEST(GgufConfig, RefusesKeysThatChangeResults) {
  EXPECT_THAT(refusal([] { Header("llama").flag("attention.causal", false).config(); }),
              HasSubstr("'llama.attention.causal' is false, only causal attention is supported"));
  EXPECT_THAT(refusal([] { Header("llama").number("attention.clamp_kqv", 8.0f).config(); }),
              HasSubstr("'llama.attention.clamp_kqv' is 8, supported: 0"));
  EXPECT_THAT(refusal([] { Header("llama").number("rope.scaling.attn_factor", 0.5f).config(); }),
              HasSubstr("'llama.rope.scaling.attn_factor' is 0.5, supported: 1"));
}

std::vector<std::string> remarks(const std::string& tokenizer, const std::string& pre) {
  Header header("llama");
  header.tensor("output_norm.weight", {8}).text("tokenizer.ggml.model", tokenizer);
  if (!pre.empty()) header.text("tokenizer.ggml.pre", pre);
  for (const std::string block : {"blk.0.", "blk.1."}) {
    for (const char* norm : {"attn_norm", "ffn_norm"}) header.tensor(block + norm + ".weight", {8});
    for (const char* square : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
      header.tensor(block + square + ".weight", {8, 8});
    }
    for (const char* wide : {"ffn_gate", "ffn_up"}) header.tensor(block + wide + ".weight", {8, 12});
    header.tensor(block + "ffn_down.weight", {12, 8});
  }
  const TempDir dir;
  header.write(dir.file("m.gguf"));
  return Checkpoint::open(dir.file("m.gguf"))->remarks();
}

TEST(GgufConfig, RemarksOnABpeTokenizerThatDoesNotSayHowItCuts) {
  EXPECT_THAT(remarks("gpt2", ""), ElementsAre(HasSubstr("'tokenizer.ggml.pre' is missing")));
  EXPECT_THAT(remarks("gpt2", "llama-bpe"), ElementsAre());
  EXPECT_THAT(remarks("llama", ""), ElementsAre());
}

}  // namespace
}  // namespace bitloom
