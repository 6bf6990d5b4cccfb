#include "io/torch/zip_archive.h"

#include "io/test_support.h"
#include "io/torch/test_zip.h"

namespace bitloom {
namespace {

using testing::edited;
using testing::zip_of;

struct ZipFile {
  testing::TempDir dir;
  std::string path = dir.file("f");
  explicit ZipFile(const std::string& bytes) { testing::write_file(path, bytes); }

  std::map<std::string, std::string> read() const {
    const auto file = MappedFile::open(path);
    std::map<std::string, std::string> texts;
    for (const auto& [name, bytes] : stored_zip_entries(*file)) texts[std::string(name)] = testing::as_text(bytes);
    return texts;
  }
  /// Without the path, which begins it.
  std::string refusal() const {
    const std::string message = testing::message_of(ErrorKind::kRefused, [&] { read(); });
    EXPECT_TRUE(message.starts_with(path + ": ")) << message;
    return message.substr(path.size() + 2);
  }
};

std::string refusal(const std::string& bytes) { return ZipFile(bytes).refusal(); }

const std::map<std::string, std::string> kTwo = {{"a/x", "first"}, {"a/y", ""}};

TEST(ZipArchive, ReadsStoredEntries) {
  EXPECT_EQ(ZipFile(zip_of({{"a/x", "first"}, {"a/y", ""}})).read(), kTwo);
  EXPECT_EQ(ZipFile(zip_of({{"a/x", "first"}, {"a/y", ""}}, {.comment = "a remark"})).read(), kTwo);
  EXPECT_TRUE(ZipFile(zip_of({})).read().empty());
}

TEST(ZipArchive, ReadsZip64) {
  EXPECT_EQ(ZipFile(zip_of({{"a/x", "first"}, {"a/y", ""}}, {.zip64 = true})).read(), kTwo);
}

TEST(ZipArchive, RefusesWhatIsNotStored) {
  EXPECT_EQ(refusal(zip_of({{"x", "1"}}, {.method = 8})),
            "entry 'x' is compressed (method 8); entries of a checkpoint are stored, as torch.save writes them");
  EXPECT_EQ(refusal(zip_of({{"x", "1"}}, {.flags = 1})), "entry 'x' is encrypted");
}

TEST(ZipArchive, RefusesFilesThatLie) {
  const std::string good = zip_of({{"x", "12345"}});
  EXPECT_EQ(refusal(""), "0 bytes are too few for a zip archive");
  EXPECT_EQ(refusal(good.substr(0, good.size() - 1)), "a zip archive without its end record (truncated file?)");
  EXPECT_EQ(refusal(zip_of({{"x", "1"}, {"x", "2"}})), "entry 'x' is listed twice");
  // The first "x" lies in the entry's own header, the last in the central directory.
  EXPECT_EQ(refusal(edited(good, "x12345", "y12345")), "entry 'x' is 'y' in its own header");
  EXPECT_EQ(refusal(edited(good, "PK\3\4", "PK\3\5")), "no header of a zip entry at byte 0 (found 0x05034b50)");
  EXPECT_EQ(refusal(edited(good, "PK\1\2", "PK\1\3")), "no zip entry at byte 36 (found 0x03014b50)");
  std::string count = good;
  count[good.size() - 12] = 2;
  EXPECT_EQ(refusal(count), "1 entries are listed, the end record says 2");
}

TEST(ZipArchive, ChecksSizesAgainstTheFile) {
  // Offsets in the central directory, which begins at byte 36: packed size 20, size 24, header 42.
  const std::string good = zip_of({{"x", "12345"}});
  std::string size = good;
  size[36 + 24] = 6;
  EXPECT_EQ(refusal(size), "entry 'x' is stored, but takes 5 bytes for 6");
  size[36 + 20] = 6, size[36 + 21] = size[36 + 25] = 1;
  EXPECT_EQ(refusal(size), "truncated at byte 31: entry 'x' takes 262 bytes, 74 are left");
  std::string header = good;
  header[36 + 44] = 1;
  EXPECT_EQ(refusal(header), "truncated at byte 0: a zip archive takes 65536 bytes, 105 are left");
  std::string directory = good;
  directory[good.size() - 10] = 127;
  EXPECT_EQ(refusal(directory),
            "truncated at byte 36: the central directory of a zip archive takes 127 bytes, 69 are left");
  std::string wide = zip_of({{"x", "12345"}}, {.zip64 = true});
  wide[wide.find("PK\6\6") + 40 + 7] = '\x80';
  EXPECT_EQ(refusal(wide).substr(0, 60), "truncated at byte 56: the central directory of a zip archive");
}

}  // namespace
}  // namespace bitloom
