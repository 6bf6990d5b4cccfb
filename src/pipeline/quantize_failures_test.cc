// What quantize_model does when it cannot finish: nothing is left behind, and the message says why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdio>
#include <filesystem>

#include "base/test_data.h"
#include "pipeline/quantize_model.h"
#include "pipeline/test_models.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kDemo;
using testing::Listener;
using testing::refusal;
using ::testing::StartsWith;
using testing::TempDir;

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> result;
  for (const auto& entry : fs::directory_iterator(directory)) result.push_back(entry.path().filename().string());
  return result;
}

TEST(QuantizeFailure, InTheMiddleLeavesNothing) {
  const Recipe recipe = load_recipe("int4-g32");
  Listener complete;
  const TempDir done;
  testing::quantize(kDemo, done.file("out"), recipe, complete);
  const int calls = complete.calls;
  ASSERT_GT(calls, 50);
  // The first and last tensor, between, and while hashing at the end.
  for (const int stop_at : {0, 1, 17, calls - 6, calls - 1}) {
    const TempDir dir;
    Listener listener(stop_at);
    EXPECT_THROW(testing::quantize(kDemo, dir.file("out"), recipe, listener), std::runtime_error);
    EXPECT_THAT(names_in(dir.path()), IsEmpty()) << stop_at;
  }
}

TEST(QuantizeFailure, InTheMiddleLeavesAnOlderOutputAlone) {
  const TempDir dir;
  testing::quantize(kDemo, dir.file("out"), "int8-row");
  const std::string before = read_text(dir.file("out") + "/bitloom.json");
  Listener listener(20);
  QuantizeOptions options;
  options.force = true;
  EXPECT_THROW(testing::quantize(kDemo, dir.file("out"), load_recipe("int4-g32"), listener, options),
               std::runtime_error);
  EXPECT_EQ(read_text(dir.file("out") + "/bitloom.json"), before);
  EXPECT_EQ(names_in(dir.path()).size(), 1u);
}

TEST(QuantizeFailure, ExistingOutputNeedsForce) {
  const TempDir dir;
  testing::quantize(kDemo, dir.file("out"), "int8-row");
  EXPECT_THAT(refusal(ErrorKind::kUsage, [&] { testing::quantize(kDemo, dir.file("out"), "int4-g32"); }),
              AllOf(HasSubstr(dir.file("out")), HasSubstr("--force")));
  EXPECT_EQ(Checkpoint::open(dir.file("out"))->tensor("model.layers.0.mlp.up_proj.weight").rows->storage(), "int8-row");
  QuantizeOptions options;
  options.force = true;
  testing::quantize(kDemo, dir.file("out"), "int4-g32", options);
  EXPECT_EQ(Checkpoint::open(dir.file("out"))->tensor("model.layers.0.mlp.up_proj.weight").rows->storage(), "int4-g32");
}

TEST(QuantizeFailure, NeverReplacesTheSource) {
  const TempDir dir;
  testing::copy_model(kDemo, dir.file("demo"));
  QuantizeOptions options;
  options.force = true;
  EXPECT_THAT(refusal(ErrorKind::kUsage,
                      [&] { testing::quantize(dir.file("demo"), dir.file("demo") + "/", "int4-g32", options); }),
              HasSubstr("which this run uses"));
  EXPECT_NO_THROW(testing::verify(dir.file("demo")));
}

TEST(QuantizeFailure, NamesAnUnwritableOutput) {
  const TempDir dir;
  std::ofstream(dir.file("file")) << "x";
  EXPECT_THAT(refusal(ErrorKind::kFailed, [&] { testing::quantize(kDemo, dir.file("file") + "/out", "int4-g32"); }),
              StartsWith(dir.file("file") + "/out"));
}

TEST(QuantizeFailure, NamesTheFileThatDoesNotFit) {
  const TempDir dir;
  const auto quantize_in_half_a_megabyte = [&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1 << 19, 1 << 19};
    setrlimit(RLIMIT_FSIZE, &limit);
    try {
      testing::quantize(kDemo, dir.file("out"), "int4-g32");
    } catch (const Error& error) {
      std::fprintf(stderr, "%s\n", error.what());
      std::_Exit(error.exit_code());
    }
    std::_Exit(0);
  };
  EXPECT_EXIT(quantize_in_half_a_megabyte(), ::testing::ExitedWithCode(static_cast<int>(ErrorKind::kFailed)),
              "out\\.partial/model\\.safetensors: cannot write: File too large");
  EXPECT_THAT(names_in(dir.path()), IsEmpty());
}

TEST(QuantizeFailure, ChecksForFreeSpaceFirst) {
  const TempDir dir;
  if (::mount("tmpfs", dir.path().c_str(), "tmpfs", 0, "size=1m") != 0)
    GTEST_SKIP() << "needs the right to mount a tmpfs";
  const std::string message =
      refusal(ErrorKind::kFailed, [&] { testing::quantize(kDemo, dir.file("out"), "int4-g32"); });
  EXPECT_THAT(message, AllOf(StartsWith(dir.file("out")), HasSubstr("needs "), HasSubstr("has 1.00 MiB")));
  EXPECT_THAT(names_in(dir.path()), IsEmpty());
  ::umount(dir.path().c_str());
}

/// A copy of the demo with one bf16 weight replaced.
void break_weight(const std::string& model, const std::string& tensor, int64_t position, uint16_t bits) {
  testing::copy_model(kDemo, model);
  testing::patch_tensor(model + "/model.safetensors", tensor, 2 * position,
                        std::string(reinterpret_cast<const char*>(&bits), sizeof bits));
}

TEST(QuantizeFailure, NamesTensorAndPositionOfNaN) {
  const std::string down = "model.layers.3.mlp.down_proj.weight";
  const TempDir dir;
  break_weight(dir.file("demo"), down, 5 * 512 + 7, 0x7FC0);
  for (const char* recipe : {"int4-g32", "int8-row", "nvfp4"}) {
    EXPECT_THAT(
        refusal(ErrorKind::kRefused, [&] { testing::quantize(dir.file("demo"), dir.file("out"), recipe); }),
        AllOf(StartsWith(dir.file("demo") + "/model.safetensors: tensor '" + down + "'"), HasSubstr("[5, 7] is nan")));
  }
  EXPECT_FALSE(fs::exists(dir.file("out")));
  EXPECT_FALSE(fs::exists(dir.file("out.partial")));
}

TEST(QuantizeFailure, NamesInfInAKeptTensor) {
  const TempDir dir;
  break_weight(dir.file("demo"), "model.embed_tokens.weight", 4000 * 192 + 3, 0xFF80);
  EXPECT_EQ(
      refusal(ErrorKind::kRefused, [&] { testing::quantize(dir.file("demo"), dir.file("out"), "int4-g32"); }),
      dir.file("demo") +
          "/model.safetensors: tensor 'model.embed_tokens.weight' holds Inf at [4000, 3]; weights must be finite");
}

TEST(QuantizeFailure, RefusesCodebooksThatCostMoreThanTheySave) {
  const TempDir dir;
  for (const char* recipe : {"additive+aq1x16-g8", "aqlm+aq1x16-g8"}) {
    EXPECT_THAT(refusal(ErrorKind::kUsage, [&] { testing::quantize(kDemo, dir.file("out"), recipe); }),
                AllOf(HasSubstr("model.layers.0."), HasSubstr("aq1x16-g8 would take"), HasSubstr("its codebooks'")));
  }
  EXPECT_THAT(names_in(dir.path()), IsEmpty());
}

TEST(QuantizeFailure, NamesAPatternThatMatchesNothing) {
  const TempDir dir;
  const Recipe recipe = parse_recipe("steps: [{quantize: int4-g32, targets: '*.dwn_proj.weight'}]", "r.yaml");
  Progress silent;
  EXPECT_THAT(refusal(ErrorKind::kUsage, [&] { testing::quantize(kDemo, dir.file("out"), recipe, silent); }),
              AllOf(HasSubstr("'*.dwn_proj.weight' matches no matrix"), HasSubstr("did you mean")));
  EXPECT_THAT(names_in(dir.path()), IsEmpty());
}

}  // namespace
}  // namespace bitloom
