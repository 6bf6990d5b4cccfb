#include "judge/tensor_list.h"

#include <gtest/gtest.h>

#include "judge/test_models.h"

namespace bitloom {
namespace {

int64_t bytes_of(const std::vector<TensorGroup>& groups) {
  int64_t bytes = 0;
  for (const TensorGroup& group : groups) bytes += group.bytes;
  return bytes;
}

TEST(TensorList, BlocksAreOneLineForEachOfTheirTensors) {
  const auto demo = Checkpoint::open(testing::kDemo);
  const std::vector<TensorGroup> each = tensor_groups(*demo, false), together = tensor_groups(*demo, true);
  EXPECT_EQ(each.size(), demo->tensors().size());
  const auto at = std::find_if(together.begin(), together.end(), [](const TensorGroup& group) {
    return group.name == "model.layers.*.mlp.up_proj.weight";
  });
  ASSERT_NE(at, together.end());
  EXPECT_EQ(at->count, static_cast<int64_t>(demo->graph().blocks.size()));
  EXPECT_EQ(at->storage, "BF16");
  EXPECT_EQ(at->bits(), 16);
  EXPECT_EQ(bytes_of(each), bytes_of(together));
  const TensorGroup all = all_tensors(*demo);
  EXPECT_EQ(all.bytes, bytes_of(each));
  EXPECT_EQ(all.bytes, 2 * all.weights);
  EXPECT_EQ(all.count, static_cast<int64_t>(each.size()));
}

TEST(TensorList, StorageKeepsTensorsApart) {
  testing::Quiet quiet;
  const testing::TempDir dir;
  testing::write_file(dir.file("r.yaml"),
                      "version: 1\nname: r\nsteps:\n  - quantize: int4-g32\n  - {quantize: int8-row, targets: "
                      "[model.layers.0.mlp.up_proj.weight]}\n");
  testing::quantize_demo(dir.file("mixed"), dir.file("r.yaml"), quiet);
  int64_t lines = 0;
  for (const TensorGroup& group : tensor_groups(*Checkpoint::open(dir.file("mixed")), true)) {
    if (group.name != "model.layers.*.mlp.up_proj.weight") continue;
    ++lines;
    EXPECT_EQ(group.storage, group.count == 1 ? "int8-row" : "int4-g32");
  }
  EXPECT_EQ(lines, 2);
}

TEST(TensorList, NothingHasNoBits) { EXPECT_EQ(TensorGroup().bits(), 0); }

}  // namespace
}  // namespace bitloom
