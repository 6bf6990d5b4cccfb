// The backward pass against torch's, and against itself. tests/oracle/forward_gradients.py says what is compared.

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "forward/adjoint/model_gradient.h"
#include "forward/adjoint/test_gradients.h"
#include "forward/golden_models.h"
#include "io/safetensors/safetensors.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {
namespace {

using Tensors = std::map<std::string, std::vector<float>>;

Tensors read_tensors(const std::string& path) {
  Tensors tensors;
  const SafetensorsFile file = open_safetensors(path);
  for (const TensorView& tensor : file.tensors) {
    std::vector<float>& values = tensors[tensor.name];
    values.resize(static_cast<size_t>(tensor.elements()));
    decode_to_f32(tensor.dtype, tensor.bytes.data(), 0, tensor.elements(), values.data());
  }
  return tensors;
}

/// Gradients of every tensor, as the checkpoint holds them.
struct AllGradients {
  double loss = 0;
  std::map<std::string, std::vector<double>> tensors;
  std::vector<float> first;  // of the stream before the first block
};

/// dW [out, in] to where the checkpoint holds it.
void place(const Model& model, const Linear& linear, const std::vector<double>& dw, AllGradients& all) {
  const auto slice = model.graph().slices.find(linear.weight);
  const bool sliced = slice != model.graph().slices.end();
  const TensorSlice whole{linear.weight, {1, linear.out, linear.in}, 0, 0, 1, linear.out, linear.stored_in_out};
  const TensorSlice& at = sliced ? slice->second : whole;
  std::vector<double>& to = all.tensors[at.tensor];
  int64_t size = 1;
  for (const int64_t n : at.shape) size *= n;
  to.resize(static_cast<size_t>(size));
  const int64_t of_expert = sliced ? size / at.shape.front() : size, in = linear.in, rows = of_expert / in;
  for (int64_t r = 0; r < linear.out; ++r) {
    const int64_t row = at.first + r * at.step;
    for (int64_t c = 0; c < in; ++c) {
      const int64_t place =
          at.expert * of_expert + (at.transposed || linear.stored_in_out ? c * rows + row : row * in + c);
      to[static_cast<size_t>(place)] += dw[static_cast<size_t>(r * in + c)];
    }
  }
}

void place_bias(const Model& model, const std::string& name, const std::vector<double>& values, AllGradients& all) {
  const auto slice = model.graph().slices.find(name);
  if (slice == model.graph().slices.end()) {
    all.tensors[name] = values;
    return;
  }
  const TensorSlice& at = slice->second;
  std::vector<double>& to = all.tensors[at.tensor];
  to.resize(static_cast<size_t>(at.shape[0] * at.shape[1]));
  for (int64_t r = 0; r < at.count; ++r) {
    to[static_cast<size_t>(at.expert * at.shape[1] + at.first + r * at.step)] = values[static_cast<size_t>(r)];
  }
}

/// `padding`: a token that torch's embedding learns nothing of.
AllGradients gradients_of(const Model& model, const Tensors& golden, int threads_count, int64_t padding = -1) {
  const std::vector<float>& values = golden.at("tokens");
  const std::vector<int32_t> tokens(values.begin(), values.end());
  constexpr int64_t kBatch = 2;
  const auto length = static_cast<int64_t>(tokens.size()) / kBatch;
  std::vector<int32_t> labels(tokens.begin() + 1, tokens.end());
  labels.push_back(-1);
  for (int64_t s = 1; s < kBatch; ++s) labels[static_cast<size_t>(s * length - 1)] = -1;

  AllGradients all;
  testing::SummedGradients sums;
  ThreadPool threads(threads_count);
  all.loss = model_gradient(
      model, tokens, kBatch, length, cross_entropy(labels), sums.sink(model, padding),
      [&](int block, std::span<const float> gradient) {
        if (block == 0) all.first.assign(gradient.begin(), gradient.end());
      },
      threads);
  all.tensors = std::move(sums.tables);
  for (const auto& [name, weight] : sums.weights) place(model, *weight.first, weight.second, all);
  for (const auto& [name, bias] : sums.vectors) place_bias(model, name, bias, all);
  return all;
}

class TorchGradients : public ::testing::TestWithParam<std::string> {};

TEST_P(TorchGradients, AreTheSame) {
  static const Tensors expected = read_tensors(testing::golden("forward/gradients.safetensors"));
  const std::string& name = GetParam();
  ASSERT_TRUE(expected.contains(name)) << "a golden model without gradients: make oracle ORACLES=forward_gradients";
  const std::string directory = testing::golden("forward/" + name);
  const auto model = Checkpoint::open(directory);
  const Json padding = model->config().value("pad_token_id", Json());
  const AllGradients all = gradients_of(*model, read_tensors(directory + "/golden.safetensors"), 2,
                                        padding.is_number_integer() ? padding.get<int64_t>() : -1);
  EXPECT_NEAR(all.loss, expected.at(name).at(0), 1e-5 * all.loss);
  std::set<std::string> compared;
  for (const auto& [tensor, values] : all.tensors) {
    const auto found = expected.find(name + "/" + tensor);
    if (found == expected.end()) continue;
    compared.insert(tensor);
    // The promise: 1e-4 of the range. Of what is 0 but for rounding (biases of keys move all scores alike) 2^-16: sums
    // over 80 rows of terms up to 10 that cancel.
    const float range = found->second[0];
    const double tolerance = std::max(1e-4 * range, 0x1p-16);
    double most = 0;
    for (const double value : values) most = std::max(most, std::abs(value));
    EXPECT_NEAR(most, range, tolerance) << name << " " << tensor;
    for (uint64_t i = 0; i + 1 < found->second.size(); ++i) {
      const size_t place = (i * 2654435761u + 12345u) % values.size();
      EXPECT_NEAR(values[place], found->second[i + 1], tolerance) << name << " " << tensor << " at " << place;
    }
  }
  // Nothing that torch has a gradient of is left out.
  for (const auto& [tensor, values] : expected) {
    if (!tensor.starts_with(name + "/")) continue;
    EXPECT_TRUE(compared.contains(tensor.substr(name.size() + 1))) << tensor;
  }
}

/// Those of which torch's gradient is that of the formula: transformers' phimoe has a backward of its own in its
/// router, and the checkpoints of the other two are read by us alone (names without a prefix; MXFP4 blocks).
std::vector<std::string> models_of_torch() {
  std::vector<std::string> models = testing::all_golden_models();
  std::erase_if(models, [](const std::string& name) {
    return name == "phimoe" || name == "gpt2_bare" || name == "gpt_oss_mxfp4";
  });
  return models;
}

INSTANTIATE_TEST_SUITE_P(Models, TorchGradients, ::testing::ValuesIn(models_of_torch()),
                         [](const auto& model) { return testing::test_name(model.param); });

TEST(ModelGradient, IsTheSameForAnyNumberOfThreads) {
  for (const std::string name : {"llama", "mixtral", "deepseek_v3", "gpt_oss"}) {
    const std::string directory = testing::golden("forward/" + name);
    const auto model = Checkpoint::open(directory);
    const Tensors golden = read_tensors(directory + "/golden.safetensors");
    const AllGradients one = gradients_of(*model, golden, 1), three = gradients_of(*model, golden, 3);
    EXPECT_EQ(one.loss, three.loss) << name;
    EXPECT_EQ(one.first, three.first) << name;
    EXPECT_EQ(one.tensors, three.tensors) << name;
  }
}

}  // namespace
}  // namespace bitloom
