#include "io/directory/output_directory.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <limits>

#include "base/test_data.h"
#include "io/directory/output_file.h"
#include "io/json.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using testing::message_of;
using ::testing::StartsWith;
using testing::TempDir;

TEST(OutputDirectory, AppearsByRename) {
  const TempDir dir;
  const std::string out = dir.file("deep/er/out/");  // the slash at the end is dropped, parents are made
  OutputDirectory output(out, false, 0);
  EXPECT_EQ(output.staging(), dir.file("deep/er/out.partial"));
  output.write_text("a.txt", "hello");
  output.copy_file(output.staging() + "/a.txt", "b.txt");
  EXPECT_FALSE(fs::exists(out));
  output.commit();
  EXPECT_EQ(read_text(out + "a.txt"), "hello");
  EXPECT_EQ(read_text(out + "b.txt"), "hello");
  EXPECT_FALSE(fs::exists(dir.file("deep/er/out.partial")));
}

TEST(OutputDirectory, GoesBehindALink) {
  const testing::TempDir dir;
  std::filesystem::create_directory(dir.file("disk"));
  std::filesystem::create_directory_symlink(dir.file("disk"), dir.file("out"));
  EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { OutputDirectory(dir.file("out"), false, 0); }), HasSubstr("exists"));
  OutputDirectory output(dir.file("out"), true, 0);
  output.write_text("a", "new");
  output.commit();
  EXPECT_TRUE(std::filesystem::is_symlink(dir.file("out")));
  EXPECT_EQ(read_text(dir.file("disk/a")), "new");
}

TEST(OutputDirectory, LeavesNothingWhenNotCommitted) {
  const TempDir dir;
  {
    OutputDirectory output(dir.file("out"), false, 0);
    output.write_text("a.txt", "hello");
  }
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(OutputDirectory, DiscardsAnEarlierPartialOne) {
  const TempDir dir;
  fs::create_directories(dir.file("out.partial/sub"));
  testing::write_file(dir.file("out.partial/stale"), "x");
  testing::write_file(dir.file("out.partial.lock"), "");  // a killed run leaves both
  {
    OutputDirectory output(dir.file("out"), false, 0);
    EXPECT_TRUE(fs::is_empty(output.staging()));
  }
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(OutputDirectory, LeavesAPartialOneThatIsNotItsOwn) {
  const TempDir dir;
  fs::create_directories(dir.file("out.partial"));
  testing::write_file(dir.file("out.partial/theirs"), "x");
  EXPECT_EQ(message_of(ErrorKind::kUsage, [&] { OutputDirectory(dir.file("out"), true, 0); }),
            dir.file("out.partial") + ": exists and is no unfinished output; move it away");
  EXPECT_EQ(read_text(dir.file("out.partial/theirs")), "x");
  EXPECT_FALSE(fs::exists(dir.file("out.partial.lock")));
}

TEST(OutputDirectory, IsMadeByOneRunAtATime) {
  const TempDir dir;
  OutputDirectory first(dir.file("out"), false, 0);
  first.write_text("a", "x");
  EXPECT_EQ(
      message_of(ErrorKind::kUsage, [&] { OutputDirectory(dir.file("out"), true, 0); }),
      "output '" + dir.file("out") + "' is being made by another run, which holds " + dir.file("out.partial.lock"));
  first.commit();
  EXPECT_EQ(read_text(dir.file("out/a")), "x");
}

TEST(OutputDirectory, KnowsOtherSpellingsOfItsPath) {
  for (const char* path : {"a/out", "a/out/", "a/out//", "a/out/.", "./a/out", "a/b/../out"})
    EXPECT_EQ(plain_output_path(path), "a/out") << path;
  EXPECT_EQ(plain_output_path("/out/"), "/out");
  EXPECT_EQ(plain_output_path("/"), "/");
  const TempDir dir;
  OutputDirectory output(dir.file("out/."), false, 0);
  output.commit();
  EXPECT_TRUE(fs::is_directory(dir.file("out")));
}

TEST(OutputDirectory, SparesWhatIsRead) {
  const TempDir dir;
  fs::create_directories(dir.file("models/demo"));
  testing::write_file(dir.file("models/demo/a.gguf"), "x");
  fs::create_symlink(dir.file("models/demo/a.gguf"), dir.file("link.gguf"));
  const auto spares = [&](const std::string& out, const std::string& input) {
    check_spares(dir.file(out), std::vector{dir.file(input)});
  };
  EXPECT_EQ(message_of(ErrorKind::kUsage, [&] { spares("models", "models/demo"); }),
            "output '" + dir.file("models") + "' would remove '" + dir.file("models/demo") +
                "', which this run uses; name another directory");
  using Pairs = std::vector<std::pair<const char*, const char*>>;
  for (const auto& pair : Pairs{{"models/demo/", "models/demo"},
                                {"models/demo", "models/demo/a.gguf"},
                                {"models/../models", "link.gguf"},
                                {"q", "q.partial"},
                                {"q/", "q.partial/model"}}) {
    EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { spares(pair.first, pair.second); }),
                HasSubstr("which this run uses"))
        << pair.first;
  }
  for (const auto& pair :
       Pairs{{"models/new", "models/demo"}, {"models/demo/new", "models/demo"}, {"models/dem", "models/demo"}}) {
    EXPECT_NO_THROW(spares(pair.first, pair.second)) << pair.first;
  }
}

TEST(OutputDirectory, NeedsForceToReplace) {
  const TempDir dir;
  fs::create_directories(dir.file("out"));
  testing::write_file(dir.file("out/old"), "x");
  EXPECT_EQ(message_of(ErrorKind::kUsage, [&] { OutputDirectory(dir.file("out"), false, 0); }),
            "output '" + dir.file("out") + "' exists; --force replaces it");
  EXPECT_FALSE(fs::exists(dir.file("out.partial")));
  {
    OutputDirectory output(dir.file("out"), true, 0);
    output.write_text("new", "y");
    EXPECT_TRUE(fs::exists(dir.file("out/old")));  // untouched until commit
    output.commit();
  }
  EXPECT_FALSE(fs::exists(dir.file("out/old")));
  EXPECT_EQ(read_text(dir.file("out/new")), "y");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), {}), 1);
}

TEST(OutputDirectory, ForceReplacesAFile) {
  const TempDir dir;
  testing::write_file(dir.file("file"), "x");
  EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { OutputDirectory(dir.file("file"), false, 0); }), HasSubstr("exists"));
  OutputDirectory(dir.file("file"), true, 0).commit();
  EXPECT_TRUE(fs::is_directory(dir.file("file")));
}

TEST(OutputDirectory, DoesNotReplaceWhatAppearedMeanwhile) {
  const TempDir dir;
  OutputDirectory output(dir.file("out"), false, 0);
  fs::create_directories(dir.file("out/theirs"));
  EXPECT_EQ(message_of(ErrorKind::kFailed, [&] { output.commit(); }),
            dir.file("out") + ": appeared while the output was being made");
  EXPECT_TRUE(fs::exists(dir.file("out/theirs")));
}

TEST(OutputDirectory, NeverReplacesTheGroundUnderOnesFeet) {
  for (const std::string path : {".", "..", "/", "", "src/..", "src/../../", "no/such/../../.."}) {
    EXPECT_THAT(message_of(ErrorKind::kUsage, [&] { OutputDirectory(path, true, 0); }),
                HasSubstr("is or holds the working directory"));
  }
}

TEST(OutputDirectory, ChecksFreeSpaceFirst) {
  const TempDir dir;
  const std::string message = message_of(
      ErrorKind::kFailed, [&] { OutputDirectory(dir.file("a/out"), false, std::numeric_limits<int64_t>::max()); });
  EXPECT_THAT(message, MatchesRegex(".*a/out: not enough free disk space: needs [0-9.]+ [A-Z]iB, has [0-9.]+ [A-Z]iB"));
  EXPECT_TRUE(fs::is_empty(dir.path()));
  EXPECT_GT(free_disk_bytes(dir.file("not/there/yet")), 0);
}

TEST(OutputDirectory, SaysWhyItCannotBeMade) {
  const TempDir dir;
  testing::write_file(dir.file("file"), "x");
  EXPECT_EQ(message_of(ErrorKind::kFailed, [&] { OutputDirectory(dir.file("file/out"), false, 0); }),
            dir.file("file/out.partial") + ": cannot create directory: Not a directory");
  const OutputDirectory output(dir.file("out"), false, 0);
  EXPECT_EQ(message_of(ErrorKind::kFailed, [&] { output.write_text("no/such.txt", ""); }),
            output.staging() + "/no/such.txt: cannot create: No such file or directory");
  EXPECT_THAT(message_of(ErrorKind::kRefused, [&] { output.copy_file(dir.file("absent"), "x"); }),
              StartsWith(dir.file("absent") + ": cannot open"));
}

TEST(OutputFile, AFullDeviceIsAnError) {
  OutputFile full("/dev/full");
  EXPECT_EQ(message_of(ErrorKind::kFailed, [&] { full.write_at(0, "x"); }),
            "/dev/full: cannot write: No space left on device");
}

TEST(OutputFile, AShortWriteIsCompletedOrAnError) {
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const TempDir dir;
  OutputFile file(dir.file("x"));
  const struct rlimit small = {4096, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  // 6000 bytes: the kernel takes 4096 and then refuses the rest.
  const std::string message = message_of(ErrorKind::kFailed, [&] { file.write_at(0, std::string(6000, 'x')); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(message, dir.file("x") + ": cannot write: File too large");
  file.write_at(0, "fits");
  EXPECT_NO_THROW(file.finish());
}

TEST(ReplaceFile, LeavesNothingBeside) {
  const TempDir dir;
  replace_file(dir.file("a.json"), "one");
  replace_file(dir.file("a.json"), "two");
  EXPECT_EQ(read_text(dir.file("a.json")), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

}  // namespace
}  // namespace bitloom
