#include "cli/commands.h"

#include <gtest/gtest.h>

namespace bitloom {
namespace {

TEST(Commands, AreWrittenAsTheProgramWasStarted) {
  const std::string program = "build/release/bitloom";
  EXPECT_EQ(as_started("see 'bitloom run --help'", program), "see 'build/release/bitloom run --help'");
  EXPECT_EQ(as_started("  bitloom --version\nbitloom eval kl a", program),
            "  build/release/bitloom --version\nbuild/release/bitloom eval kl a");
  EXPECT_EQ(as_started("bitloom tokenize a | bitloom tokenize b", "/opt/my tools/bitloom"),
            "'/opt/my tools/bitloom' tokenize a | '/opt/my tools/bitloom' tokenize b");
}

TEST(Commands, LeaveTheRestAlone) {
  const std::string program = "build/release/bitloom";
  for (const char* text : {"a bitloom directory", "bitloom makes neural networks small", "/x/bitloom run", "bitloom",
                           "bitlooms run", "bitloom runs", "bitloom run: generates text"}) {
    EXPECT_EQ(as_started(text, program), text);
  }
  EXPECT_EQ(as_started("see 'bitloom run --help'", "bitloom"), "see 'bitloom run --help'");
}

}  // namespace
}  // namespace bitloom
