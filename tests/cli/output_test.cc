// Where results go, and what is left when they cannot: exit codes 1, 4 and 130.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "broken_models.h"
#include "program.h"

namespace bitloom::testing {
namespace {

namespace fs = std::filesystem;

TEST(Output, CannotBeMade) {
  for (const std::string out : {"/proc/bitloom-out", "/dev/null/out"})
    expect_error(run_bitloom({"quantize", "assets/demo", out, "--recipe", "int4-g32"}), 1, {out});
}

TEST(Output, StandardOutputIsFull) {
  const Outcome outcome = run_shell("\"$BITLOOM\" formats > /dev/full");
  expect_error(outcome, 1, {"standard output", "No space left"});
}

// A file system of 1 MiB in a mount namespace of its own.
TEST(Output, DiskIsFull) {
  const TempDir dir;
  const std::string mount = "mount -t tmpfs -o size=1m tmpfs " + dir.path();
  if (run_shell("unshare -rm sh -c '" + mount + "'").code != 0) GTEST_SKIP() << "needs the right to mount a tmpfs";
  const Outcome outcome =
      run_shell("unshare -rm sh -c '" + mount + " && \"$BITLOOM\" quantize assets/demo " + dir.file("out") +
                " --recipe int8-row; code=$?; ls " + dir.path() + "; exit $code'");
  expect_error(outcome, 1, {dir.file("out"), "not enough free disk space", "MiB"});
}

TEST(Output, FlippedByteDoesNotVerify) {
  const TempDir dir;
  ASSERT_EQ(run_bitloom({"quantize", "assets/demo", dir.file("out"), "--recipe", "int4-g32"}).code, 0);
  EXPECT_EQ(run_json({"verify", dir.file("out")}).at("ok"), true);
  std::string bytes = read_bytes(dir.file("out/model.safetensors"));
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_bytes(dir.file("out/model.safetensors"), bytes);
  expect_error(run_bitloom({"verify", dir.file("out")}), 4, {"model.safetensors", "sha256"});
}

TEST(Output, InterruptedWorkLeavesNothing) {
  const TempDir dir;
  // The signal is sent as soon as the unfinished directory is there.
  const Outcome outcome = run_shell("\"$BITLOOM\" quantize assets/demo " + dir.file("out") +
                                    " --recipe int4-g32-mse -t 1 & child=$!; "
                                    "while kill -0 $child && ! [ -e " +
                                    dir.file("out.partial") + " ]; do :; done; kill -TERM $child; wait $child");
  expect_error(outcome, 128 + 15, {"interrupted"});
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

/// Most of the time goes into matrix products, whose library keeps the stack pointer in a heap buffer: a signal must
/// not write there. Each run is stopped somewhere in learned rounding; none may end in any other way.
TEST(Output, InterruptedInsideMatrixProductsEndsInOrder) {
  const TempDir dir;
  for (int run = 0; run < 8; ++run) {
    const Outcome outcome = run_shell(fmt::format(
        "\"$BITLOOM\" quantize assets/demo {0} --restart --recipe adaround:iterations=1000+int3-g32 --samples 1 --seq "
        "64 2>{0}.log & child=$!; while kill -0 $child && ! [ -e {0}.journal/identity.json ]; do :; done; "
        "sleep 0.{1}; kill -INT $child; wait $child",
        dir.file("out"), 11 + 7 * run));
    EXPECT_EQ(outcome.code, 128 + 2);
    EXPECT_NE(read_bytes(dir.file("out.log")).find("bitloom: error: interrupted"), std::string::npos);
    fs::remove_all(dir.file("out.journal"));
  }
}

TEST(Output, NoColoursInAPipe) { EXPECT_EQ(run_bitloom({"formats"}).out.find('\x1b'), std::string::npos); }

}  // namespace
}  // namespace bitloom::testing
