#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/test_data.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/test_checkpoint.h"
#include "model/test_linears.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::llama_config;
using testing::TempDir;
using testing::TinyCheckpoint;
using testing::with;

const std::string kDown = "model.layers.1.mlp.down_proj.weight";

/// Element (r, c) is first + 100 r + c.
class CountingRows final : public RowSource {
 public:
  CountingRows(int64_t rows, int64_t cols, float first = 0) : rows_(rows), cols_(cols), first_(first) {}
  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  int64_t stored_bytes() const override { return 0; }
  std::string storage() const override { return "counting"; }
  void release() const override { ++released; }
  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t c = 0; c < cols_; ++c) *out++ = first_ + static_cast<float>(100 * r + c);
    }
  }
  mutable int released = 0;

 private:
  int64_t rows_, cols_;
  float first_;
};

class EditedCheckpoint : public ::testing::Test {
 protected:
  std::shared_ptr<const Checkpoint> open(const Json& config) {
    TinyCheckpoint(config).write(dir_.path());
    return Checkpoint::open(dir_.path());
  }
  static std::string failure(const std::shared_ptr<const Checkpoint>& base, const TensorEdits& edits) {
    try {
      Checkpoint::edited(base, edits);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kFailed);
      return error.what();
    }
    ADD_FAILURE() << "nothing was refused";
    return "";
  }
  TempDir dir_;
};

TensorEdits one_edit(const std::string& name, RowSourcePtr rows) {
  TensorEdits edits;
  edits.tensors[name] = std::move(rows);
  return edits;
}

TEST_F(EditedCheckpoint, ReplacesSomeTensorsAndKeepsTheRest) {
  const auto base = open(llama_config());
  const auto rows = std::make_shared<CountingRows>(32, 48);
  const auto edited = Checkpoint::edited(base, one_edit(kDown, rows));
  EXPECT_TRUE(edited->is_edited(kDown));
  EXPECT_FALSE(base->is_edited(kDown));
  EXPECT_FALSE(edited->is_edited("model.norm.weight"));
  EXPECT_EQ(edited->tensor(kDown).rows, rows);
  EXPECT_EQ(edited->matrix(testing::linear_of(edited->graph(), 1, "down")), rows);
  EXPECT_THAT(edited->tensor(kDown).shape, ElementsAre(32, 48));
  EXPECT_EQ(edited->tensors().size(), base->tensors().size());
  EXPECT_EQ(edited->vector("model.norm.weight"), base->vector("model.norm.weight"));
  EXPECT_EQ(edited->path(), base->path());
  EXPECT_EQ(edited->weight_files(), base->weight_files());
  EXPECT_EQ(edited->config(), base->config());
}

TEST_F(EditedCheckpoint, EditsStack) {
  const auto base = open(llama_config());
  const auto first = Checkpoint::edited(base, one_edit(kDown, std::make_shared<CountingRows>(32, 48)));
  const auto second = Checkpoint::edited(first, one_edit("model.norm.weight", std::make_shared<CountingRows>(1, 32)));
  EXPECT_TRUE(second->is_edited(kDown));
  EXPECT_TRUE(second->is_edited("model.norm.weight"));
  EXPECT_EQ(second->tensor(kDown).rows, first->tensor(kDown).rows);
  EXPECT_EQ(second->vector("model.norm.weight").at(31), 31.0f);
}

// What an edit leaves as it is lies where it lay: nothing is copied, however many edits there are.
TEST_F(EditedCheckpoint, AChainSharesWhatItDoesNotReplace) {
  const auto base = open(llama_config());
  constexpr int kEdits = 100;
  std::vector<std::shared_ptr<const Checkpoint>> chain = {base};
  for (int i = 0; i < kEdits; ++i) {
    const std::string norm = i % 2 == 0 ? "model.norm.weight" : "model.layers.0.input_layernorm.weight";
    const auto rows = std::make_shared<CountingRows>(1, 32, static_cast<float>(i));
    chain.push_back(Checkpoint::edited(chain.back(), one_edit(norm, rows)));
  }
  for (const auto& edited : chain) {
    EXPECT_EQ(&edited->graph(), &base->graph());
    EXPECT_EQ(&edited->config(), &base->config());
    EXPECT_EQ(&edited->weight_files(), &base->weight_files());
    for (const CheckpointTensor& tensor : base->tensors()) {
      if (edited->is_edited(tensor.name)) continue;
      EXPECT_EQ(&edited->tensor(tensor.name), &base->tensor(tensor.name)) << tensor.name;
    }
  }
  // The last edit of a tensor counts, in each model of the chain.
  for (int i = 1; i <= kEdits; ++i) {
    const auto& edited = chain[static_cast<size_t>(i)];
    const int last_norm = (i - 1) / 2 * 2, last_other = i / 2 * 2 - 1;
    EXPECT_EQ(edited->vector("model.norm.weight").front(), static_cast<float>(last_norm));
    if (last_other < 0) continue;
    EXPECT_EQ(edited->vector("model.layers.0.input_layernorm.weight").front(), static_cast<float>(last_other));
    // A tensor that the last edit left alone lies in the layer before.
    const std::string untouched = i % 2 == 1 ? "model.layers.0.input_layernorm.weight" : "model.norm.weight";
    EXPECT_EQ(&edited->tensor(untouched), &chain[static_cast<size_t>(i) - 1]->tensor(untouched));
  }
  EXPECT_EQ(chain.back()->tensors().size(), base->tensors().size());
}

TEST_F(EditedCheckpoint, EditsOfAnUntiedHeadStack) {
  const auto base = open(with(llama_config(), "tie_word_embeddings", true));
  TensorEdits edits = one_edit("lm_head.weight", std::make_shared<CountingRows>(40, 32, 7));
  edits.untie_head = true;
  const auto untied = Checkpoint::edited(base, edits);
  edits.tensors["lm_head.weight"] = std::make_shared<CountingRows>(40, 32, 9);
  const auto again = Checkpoint::edited(untied, edits);
  EXPECT_EQ(again->matrix(again->graph().head)->decode_all().front(), 9.0f);
  EXPECT_EQ(untied->matrix(untied->graph().head)->decode_all().front(), 7.0f);
  EXPECT_EQ(&again->graph(), &untied->graph());
  EXPECT_EQ(again->tensors().size(), base->tensors().size() + 1);
  EXPECT_EQ(again->tensors().back().name, "lm_head.weight");
}

TEST_F(EditedCheckpoint, ReleaseReachesTheEditedRows) {
  const auto rows = std::make_shared<CountingRows>(32, 48);
  const auto edited = Checkpoint::edited(open(llama_config()), one_edit(kDown, rows));
  edited->release("model.norm.weight");
  EXPECT_EQ(rows->released, 0);
  edited->release(kDown);
  EXPECT_EQ(rows->released, 1);
}

TEST_F(EditedCheckpoint, ShowsTransposedStorageTransposed) {
  const auto base = open(
      {{"model_type", "gpt2"}, {"vocab_size", 40}, {"n_embd", 8}, {"n_layer", 1}, {"n_head", 2}, {"n_positions", 16}});
  const Linear& up = testing::linear_of(base->graph(), 0, "up");
  ASSERT_TRUE(up.stored_in_out);
  const auto rows = std::make_shared<CountingRows>(32, 8);
  const auto edited = Checkpoint::edited(base, one_edit(up.weight, rows));
  EXPECT_EQ(edited->matrix(up), rows);
  const CheckpointTensor& stored = edited->tensor(up.weight);
  EXPECT_THAT(stored.shape, ElementsAre(8, 32));
  EXPECT_EQ(stored.rows->rows(), 8);
  EXPECT_EQ(stored.rows->decode_all().at(3 * 32 + 5), 503.0f);
  edited->release(up.weight);
  EXPECT_EQ(rows->released, 1);
}

TEST_F(EditedCheckpoint, UntiesTheHead) {
  const auto base = open(with(llama_config(), "tie_word_embeddings", true));
  ASSERT_TRUE(base->graph().tied_head);
  TensorEdits edits = one_edit("lm_head.weight", std::make_shared<CountingRows>(40, 32, 7));
  edits.untie_head = true;
  const auto edited = Checkpoint::edited(base, edits);
  EXPECT_FALSE(edited->graph().tied_head);
  EXPECT_EQ(edited->graph().head.weight, "lm_head.weight");
  EXPECT_EQ(edited->config()["tie_word_embeddings"], false);
  EXPECT_EQ(edited->matrix(edited->graph().head)->decode_all().front(), 7.0f);
  EXPECT_FALSE(edited->is_edited(edited->graph().embedding));
  EXPECT_EQ(edited->vector(edited->graph().embedding), base->vector(base->graph().embedding));
  // The order of the tensors is the untied graph's.
  std::vector<std::string> expected, found;
  for (const ExpectedTensor& tensor : expected_tensors(edited->graph())) expected.push_back(tensor.name);
  for (const CheckpointTensor& tensor : edited->tensors()) found.push_back(tensor.name);
  EXPECT_EQ(found, expected);
  EXPECT_TRUE(base->graph().tied_head);
}

TEST_F(EditedCheckpoint, RefusesWhatDoesNotFit) {
  const auto base = open(with(llama_config(), "tie_word_embeddings", true));
  EXPECT_THAT(failure(base, one_edit("model.layers.9.x", std::make_shared<CountingRows>(1, 1))),
              HasSubstr("edited tensor 'model.layers.9.x' is not one of the graph's"));
  EXPECT_THAT(failure(base, one_edit(kDown, std::make_shared<CountingRows>(48, 32))),
              HasSubstr(kDown + "' has shape [48, 32], expected [32, 48]"));
  EXPECT_THAT(failure(base, one_edit("model.norm.weight", std::make_shared<CountingRows>(32, 1))),
              HasSubstr("has shape [32, 1], expected [1, 32]"));
  TensorEdits untied;
  untied.untie_head = true;
  EXPECT_THAT(failure(base, untied), HasSubstr("untied without a tensor 'lm_head.weight'"));
}

}  // namespace
}  // namespace bitloom
