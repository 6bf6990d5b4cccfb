#include "judge/size_estimate.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "judge/test_models.h"

namespace bitloom {
namespace {

TEST(SizeEstimate, IsWhatQuantizingGives) {
  testing::Quiet quiet;
  const testing::TempDir dir;
  const std::vector<SizeEstimate> estimates = estimate_sizes(*Checkpoint::open(testing::kDemo), quiet.context);
  for (const char* scheme : {"int8-row", "int4-g32", "mxfp4"}) {
    const auto at = std::find_if(estimates.begin(), estimates.end(),
                                 [&](const SizeEstimate& estimate) { return estimate.scheme == scheme; });
    ASSERT_NE(at, estimates.end()) << scheme;
    const QuantizeResult result = testing::quantize_demo(dir.file(scheme), scheme, quiet);
    const Json totals = read_json(dir.file(scheme) + "/bitloom.json").at("totals");
    EXPECT_DOUBLE_EQ(at->bits_nominal, result.bits_nominal) << scheme;
    EXPECT_DOUBLE_EQ(at->bits_true, result.bits_true) << scheme;
    EXPECT_EQ(at->model_bytes, totals.at("tensor_bytes").get<int64_t>()) << scheme;
  }
}

TEST(SizeEstimate, ListsEverySchemeOnceLargestFirst) {
  testing::Quiet quiet;
  const std::vector<SizeEstimate> estimates = estimate_sizes(*Checkpoint::open(testing::kDemo), quiet.context);
  EXPECT_TRUE(std::is_sorted(estimates.begin(), estimates.end(), [](const SizeEstimate& a, const SizeEstimate& b) {
    return a.model_bytes > b.model_bytes;
  }));
  std::vector<std::string> names;
  for (const SizeEstimate& estimate : estimates) names.push_back(estimate.scheme);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
  for (const std::string& name : named_schemes()) EXPECT_TRUE(std::binary_search(names.begin(), names.end(), name));
}

}  // namespace
}  // namespace bitloom
