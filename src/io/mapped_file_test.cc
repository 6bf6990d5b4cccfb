#include "io/mapped_file.h"

#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/test_data.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::TempDir;

TEST(MappedFile, SeesTheBytes) {
  const TempDir dir;
  testing::write_file(dir.file("x"), "some bytes");
  const auto file = MappedFile::open(dir.file("x"));
  EXPECT_EQ(testing::as_text(file->bytes()), "some bytes");
  EXPECT_EQ(file->path(), dir.file("x"));
}

TEST(MappedFile, AnEmptyFileHasNoBytes) {
  const TempDir dir;
  testing::write_file(dir.file("x"), "");
  const auto file = MappedFile::open(dir.file("x"));
  EXPECT_TRUE(file->bytes().empty());
  file->release(file->bytes());
}

TEST(MappedFile, RefusesWhatIsNoReadableFile) {
  const TempDir dir;
  const auto refusal = [](const std::string& path) {
    return message_of(ErrorKind::kRefused, [&] { MappedFile::open(path); });
  };
  EXPECT_EQ(refusal(dir.file("absent")), dir.file("absent") + ": cannot open: No such file or directory");
  EXPECT_EQ(refusal(dir.path()), dir.path() + ": not a regular file");
  ASSERT_EQ(mkfifo(dir.file("pipe").c_str(), 0600), 0);
  EXPECT_EQ(refusal(dir.file("pipe")), dir.file("pipe") + ": not a regular file");
}

/// Pages of the range that lie in this process's memory.
int64_t resident_pages(std::span<const std::byte> range) {
  FILE* maps = std::fopen("/proc/self/smaps", "r");
  char line[512];
  bool inside = false;
  long kib = 0;
  while (std::fgets(line, sizeof line, maps) != nullptr) {
    unsigned long begin = 0, end = 0;
    if (std::sscanf(line, "%lx-%lx ", &begin, &end) == 2) inside = begin == reinterpret_cast<uintptr_t>(range.data());
    if (inside && std::sscanf(line, "Rss: %ld kB", &kib) == 1) break;
  }
  std::fclose(maps);
  return kib * 1024 / ::sysconf(_SC_PAGESIZE);
}

TEST(MappedFile, ReleaseDropsResidentPagesAndKeepsThemReadable) {
  const TempDir dir;
  const std::string content(size_t{4} << 20, 'x');
  testing::write_file(dir.file("x"), content);
  const auto file = MappedFile::open(dir.file("x"));
  EXPECT_EQ(testing::as_text(file->bytes()), content);
  EXPECT_GE(resident_pages(file->bytes()), 1024);
  file->release(file->bytes().subspan(100));
  EXPECT_EQ(resident_pages(file->bytes()), 0);
  EXPECT_EQ(testing::as_text(file->bytes()), content);
}

TEST(Hash, KnownAnswers) {
  // FIPS 180-4's examples.
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const TempDir dir;
  testing::write_file(dir.file("x"), std::string(1'000'000, 'a'));
  EXPECT_EQ(sha256_file(dir.file("x")), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_THAT(message_of(ErrorKind::kRefused, [&] { sha256_file(dir.file("absent")); }), HasSubstr("cannot open"));
}

}  // namespace
}  // namespace bitloom
