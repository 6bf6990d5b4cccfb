// Adapters that PyPI peft saved (tests/oracle/export_peft.py), and what is written for it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <set>

#include "base/test_data.h"
#include "export/module_names.h"
#include "export/peft/adapt.h"
#include "export/peft/adapter.h"
#include "export/peft/export_peft.h"
#include "format/test_storage.h"
#include "forward/decoder.h"
#include "io/safetensors/safetensors.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::message_of;
using testing::TempDir;

constexpr const char* kAdapters[] = {"conv1d", "dora", "patterns", "plain"};

std::string folder_of(const std::string& adapter) { return testing::golden("export/" + adapter); }
std::string checkpoint_of(const std::string& adapter) {
  return testing::golden("forward/" +
                         read_json(folder_of(adapter) + "/expected.json").at("checkpoint").get<std::string>());
}

std::vector<float> tensor_of(const std::string& file, const std::string& name) {
  for (const TensorView& tensor : open_safetensors(file).tensors) {
    if (tensor.name == name) return dense_rows(tensor)->decode_all();
  }
  ADD_FAILURE() << file << " has no " << name;
  return {};
}

std::vector<float> logits_of(const std::shared_ptr<const Checkpoint>& model, const std::vector<int32_t>& tokens,
                             int64_t batch) {
  ThreadPool threads(2);
  Decoder decoder(model, threads);
  const auto rows = static_cast<int64_t>(tokens.size());
  std::vector<float> logits(static_cast<size_t>(rows * model->graph().vocab_size));
  decoder.logits(decoder.forward(tokens, batch, rows / batch), rows, logits.data());
  return logits;
}

std::vector<int32_t> golden_tokens(const std::string& checkpoint) {
  const std::vector<float> values = tensor_of(checkpoint + "/golden.safetensors", "tokens");
  return {values.begin(), values.end()};
}

class Adapter : public ::testing::TestWithParam<const char*> {};

// As the decoder's own logits against transformers': differences of fp32 sums, 2e-5 of the logits' range.
TEST_P(Adapter, HasTheLogitsThatPeftMakes) {
  const std::string checkpoint = checkpoint_of(GetParam());
  const auto base = Checkpoint::open(checkpoint);
  const std::vector<int32_t> tokens = golden_tokens(checkpoint);
  const std::vector<float> expected = tensor_of(folder_of(GetParam()) + "/logits.safetensors", "logits");
  const std::vector<float> plain = tensor_of(checkpoint + "/golden.safetensors", "logits");
  const std::vector<float> logits = logits_of(adapted(base, read_peft_adapter(folder_of(GetParam()))), tokens, 2);
  ASSERT_EQ(logits.size(), expected.size());
  const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
  float worst = 0, moved = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    worst = std::max(worst, std::abs(logits[i] - expected[i]));
    moved = std::max(moved, std::abs(plain[i] - expected[i]));
  }
  EXPECT_LT(worst, 2e-5f * (*high - *low));
  EXPECT_GT(moved, 0.05f * (*high - *low)) << "the adapter matters";
}

// What is written is read as the same adapter, ranks and alphas of modules, magnitudes and targets included.
TEST_P(Adapter, IsWrittenAsItWasRead) {
  const TempDir dir;
  const auto base = Checkpoint::open(checkpoint_of(GetParam()));
  const PeftAdapter read = read_peft_adapter(folder_of(GetParam()));
  write_peft_adapter(dir.path(), read.modules, adapter_base(base->graph(), "base"));
  const PeftAdapter again = read_peft_adapter(dir.path());
  ASSERT_EQ(again.modules.size(), read.modules.size());
  for (const auto& [name, module] : read.modules) {
    const AdapterModule& other = again.modules.at(name);
    EXPECT_EQ(other.a, module.a) << name;
    EXPECT_EQ(other.b, module.b) << name;
    EXPECT_EQ(other.magnitude, module.magnitude) << name;
    EXPECT_DOUBLE_EQ(other.scale, module.scale) << name;
  }
  EXPECT_NO_THROW(adapted(base, again)) << "targets are those of the modules";
}

INSTANTIATE_TEST_SUITE_P(Peft, Adapter, ::testing::ValuesIn(kAdapters),
                         [](const auto& adapter) { return std::string(adapter.param); });

// ---- what is refused ------------------------------------------------------------------------------------------------

class Refusal : public ::testing::Test {
 protected:
  Refusal() {
    for (const char* file : {kAdapterConfig, kAdapterWeights})
      fs::copy_file(folder_of("plain") + "/" + file, dir_.file(file));
  }
  void edit(const std::function<void(Json&)>& change) {
    Json config = read_json(dir_.file(kAdapterConfig));
    change(config);
    testing::write_file(dir_.file(kAdapterConfig), dump_json(config));
  }
  /// The weights with some left out, renamed or of other shapes.
  void edit_tensors(const std::function<bool(TensorSpec&)>& keeps) {
    std::vector<std::vector<std::byte>> bytes;
    std::vector<TensorBytes> kept;
    for (const TensorView& tensor : open_safetensors(dir_.file(kAdapterWeights)).tensors) {
      TensorSpec spec{tensor.name, tensor.dtype, tensor.shape};
      if (!keeps(spec)) continue;
      bytes.emplace_back(tensor.bytes.begin(), tensor.bytes.end());
      bytes.back().resize(static_cast<size_t>(spec.bytes()));
      kept.push_back({spec, {}});
    }
    for (size_t i = 0; i < kept.size(); ++i) kept[i].bytes = bytes[i];
    write_safetensors_file(dir_.file("other"), kept, {});
    fs::rename(dir_.file("other"), dir_.file(kAdapterWeights));
  }
  std::string refused() {
    return message_of(ErrorKind::kRefused,
                      [&] { adapted(Checkpoint::open(checkpoint_of("plain")), read_peft_adapter(dir_.path())); });
  }
  TempDir dir_;
};

TEST_F(Refusal, Files) {
  fs::remove(dir_.file(kAdapterWeights));
  EXPECT_THAT(refused(), HasSubstr("no adapter_model.safetensors"));
  testing::write_file(dir_.file("adapter_model.bin"), "x");
  EXPECT_THAT(refused(), HasSubstr("safe_serialization=True"));
  fs::remove(dir_.file(kAdapterConfig));
  EXPECT_THAT(refused(), HasSubstr("no adapter_config.json, which a PEFT adapter's directory has"));
}

TEST_F(Refusal, KindsAndKeys) {
  const struct {
    const char* key;
    Json value;
    const char* message;
  } cases[] = {
      {"peft_type", "IA3", "'peft_type' is \"IA3\", allowed is \"LORA\""},
      {"modules_to_save", {"lm_head"}, "modules that are saved whole"},
      {"bias", "all", "allowed is \"none\""},
      {"init_lora_weights", "pissa_niter_4", "converted to plain LoRA"},
      {"rank_pattern", {{".*q_proj", 2}}, "is a regular expression"},
      {"alpha_pattern", {{"q_proj", -1}}, "alpha_pattern.q_proj is -1, must be a number above 0"},
      {"alpha_pattern", {{"q_proj", 1e39}}, "alpha_pattern.q_proj is 1e+39, must be a number above 0, at most 1e6"},
      {"lora_alpha", 1e39, "'lora_alpha' is 1e+39"},
      {"init_lora_weights", "loftq", "converted to plain LoRA"},
      {"init_lora_weights", "OLoRA", "converted to plain LoRA"},
      {"r", 5, "lora_A of rank 4 and lora_B of rank 4"},
      {"r", 0, "'r' is 0"},
      {"target_modules", {"q_proj", "v_proj"}, "leave out 'model.layers.0.mlp.down_proj'"},
      {"target_modules", {"q_proj", "v_proj", "down_proj", "k_proj"}, "name 'model.layers.0.self_attn.k_proj', which"},
      {"layer_replication", {{0, 2}}, "layers are not repeated"},
  };
  const Json good = read_json(dir_.file(kAdapterConfig));
  for (const auto& of : cases) {
    edit([&](Json& config) { config = good, config[of.key] = of.value; });
    const std::string message = refused();
    EXPECT_THAT(message, HasSubstr(of.message)) << of.key;
    EXPECT_THAT(message, HasSubstr(dir_.path())) << of.key;
  }
}

TEST_F(Refusal, Tensors) {
  const std::string q = "base_model.model.model.layers.1.self_attn.q_proj.lora_";
  edit_tensors([&](TensorSpec& spec) { return spec.name != q + "B.weight"; });
  EXPECT_THAT(refused(), HasSubstr("'model.layers.1.self_attn.q_proj' has no lora_B"));
  edit_tensors([&](TensorSpec& spec) { return spec.name != q + "A.weight"; });
  EXPECT_THAT(refused(), HasSubstr("target_modules name 'model.layers.1.self_attn.q_proj', which"));
  edit_tensors([&](TensorSpec& spec) {
    if (spec.name.find("layers.0.self_attn.q_proj.lora_A") != std::string::npos) spec.shape[1] = 31;
    return true;
  });
  EXPECT_THAT(refused(), HasSubstr("'model.layers.0.self_attn.q_proj' is for a layer of 32 outputs and 31 inputs, that "
                                   "of tests/golden/forward/llama has 32 and 32"));
  edit_tensors([&](TensorSpec& spec) {
    const size_t at = spec.name.find("layers.0.self_attn.q_proj");
    if (at != std::string::npos) spec.name.replace(at, 8, "layers.9");
    return true;
  });
  EXPECT_THAT(refused(), HasSubstr("'model.layers.9.self_attn.q_proj' is no linear layer of the blocks"));
  edit_tensors([&](TensorSpec& spec) {
    spec.name += ".other";
    return true;
  });
  EXPECT_THAT(refused(), HasSubstr("is none that is read; those are base_model.model.MODULE.lora_A.weight"));
  edit_tensors([](TensorSpec&) { return false; });
  EXPECT_THAT(refused(), HasSubstr("holds no adapter of any module"));
}

// ---- export ---------------------------------------------------------------------------------------------------------

/// The checkpoint with random matrices of this storage in place of some.
std::shared_ptr<const Checkpoint> with_products(const std::string& checkpoint, const std::string& storage,
                                                const std::function<bool(const std::string&)>& wanted) {
  auto model = Checkpoint::open(checkpoint);
  TensorEdits edits;
  for (const auto& [tensor, linear] : block_linears(model->graph())) {
    if (wanted(tensor)) {
      edits.tensors[tensor] = testing::random_stored(storage, linear->out, linear->in, edits.tensors.size());
    }
  }
  return Checkpoint::edited(std::move(model), edits);
}

/// name -> shape.
std::map<std::string, std::vector<int64_t>> shapes_of(const std::string& file) {
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const TensorView& tensor : open_safetensors(file).tensors) shapes[tensor.name] = tensor.shape;
  return shapes;
}

bool in_plain(const std::string& tensor) {
  return tensor.find("q_proj") != std::string::npos || tensor.find("v_proj") != std::string::npos ||
         tensor.find("down_proj") != std::string::npos;
}
bool in_conv1d(const std::string& tensor) { return tensor.find("attn.c_attn") != std::string::npos; }

// In fp32 each weight is one sum of the base and the product's terms, in the order in which the storage adds them.
TEST(Export, InFloatIsWhatTheModelDecodesTo) {
  using Wanted = bool (*)(const std::string&);
  for (const auto& [name, wanted] : {std::pair<const char*, Wanted>{"plain", in_plain}, {"conv1d", in_conv1d}}) {
    TempDir dir;
    ThreadPool threads(2);
    Progress quiet;
    Context context{threads, quiet};
    const auto model = with_products(checkpoint_of(name), "int3-g8-asym+lowrank4-int8-row", wanted);
    const ExportReport made = find_export_target("peft-f32").write({*model, dir.file("out")}, context);
    EXPECT_EQ(made.layout, "of rank 4");
    // peft's own names and shapes.
    EXPECT_EQ(shapes_of(dir.file("out/adapter/adapter_model.safetensors")),
              shapes_of(folder_of(name) + "/adapter_model.safetensors"));
    const Json config = read_json(dir.file("out/adapter/adapter_config.json"));
    const Json golden = read_json(folder_of(name) + "/adapter_config.json");
    for (const auto& entry : config.items()) EXPECT_TRUE(golden.contains(entry.key())) << entry.key();
    for (const char* key :
         {"target_modules", "fan_in_fan_out", "peft_type", "task_type", "r", "rank_pattern", "bias"}) {
      EXPECT_EQ(config.at(key), golden.at(key)) << key;
    }
    EXPECT_EQ(shapes_of(dir.file("out/model.safetensors")), shapes_of(checkpoint_of(name) + "/model.safetensors"));

    const auto base = Checkpoint::open(dir.file("out"));
    const auto both = adapted(base, read_peft_adapter(dir.file("out/adapter")));
    for (const auto& [tensor, linear] : block_linears(model->graph())) {
      EXPECT_EQ(both->matrix(*linear)->decode_all(), model->matrix(*linear)->decode_all()) << tensor;
    }
    const std::vector<int32_t> tokens = golden_tokens(checkpoint_of(name));
    EXPECT_EQ(logits_of(both, tokens, 2), logits_of(model, tokens, 2));
  }
}

TEST(Export, InHalfTheBaseIsRoundedOnceMore) {
  TempDir dir;
  ThreadPool threads(2);
  Progress quiet;
  Context context{threads, quiet};
  const auto model =
      with_products(checkpoint_of("plain"), "int2-g8-asym+lowrank6-int8-row", [](const std::string&) { return true; });
  export_peft({*model, dir.file("out")}, context);
  const auto base = Checkpoint::open(dir.file("out"));
  EXPECT_EQ(base->config().at("torch_dtype"), "float16");
  const PeftAdapter adapter = read_peft_adapter(dir.file("out/adapter"));
  const auto both = adapted(base, adapter);
  for (const auto& [tensor, linear] : block_linears(model->graph())) {
    const AdapterModule& module = adapter.modules.at(module_of(tensor));
    const std::vector<float> is = both->matrix(*linear)->decode_all(), was = model->matrix(*linear)->decode_all();
    const std::vector<float> of_base = base->matrix(*linear)->decode_all();
    for (size_t i = 0; i < is.size(); ++i) {
      // fp16's rounding, and fp32's of a sum of rank + 1 terms, on both sides.
      double terms = std::abs(of_base[i]);
      for (int64_t k = 0; k < module.rank; ++k) {
        const auto row = static_cast<int64_t>(i) / module.in, col = static_cast<int64_t>(i) % module.in;
        terms += std::abs(static_cast<double>(module.b[static_cast<size_t>(row * module.rank + k)]) *
                          static_cast<double>(module.a[static_cast<size_t>(k * module.in + col)]));
      }
      const double sums = 2 * static_cast<double>(module.rank + 1) * 0x1p-24 * terms;
      ASSERT_NEAR(is[i], was[i], 0x1p-11 * std::abs(static_cast<double>(of_base[i])) + sums + 0x1p-24)
          << tensor << " " << i;
    }
  }
}

TEST(Export, RefusesWhatIsNoAdapter) {
  TempDir dir;
  ThreadPool threads(1);
  Progress quiet;
  Context context{threads, quiet};
  const auto refused = [&](const std::shared_ptr<const Checkpoint>& model) {
    const std::string message = message_of(ErrorKind::kUsage, [&] { export_peft({*model, dir.file("out")}, context); });
    EXPECT_FALSE(fs::exists(dir.file("out")));
    return message;
  };
  EXPECT_THAT(refused(Checkpoint::open(checkpoint_of("plain"))), HasSubstr("no matrix has a low-rank product"));
  EXPECT_THAT(refused(with_products(checkpoint_of("plain"), "int4-row+lowrank2-int8-row+frame-in8", in_plain)),
              HasSubstr("its product lies in other coordinates"));
  EXPECT_THAT(refused(Checkpoint::open(testing::golden("forward/gpt_oss"))), HasSubstr("experts lie together in"));
  EXPECT_THAT(refused(Checkpoint::open(testing::golden("forward/gpt2_bare"))),
              HasSubstr("'wte.weight' is: peft would not find the modules"));
}

}  // namespace
}  // namespace bitloom
