#include "io/xz.h"

#include <gmock/gmock.h>

#include "base/test_data.h"
#include "io/json.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;
using ::testing::StartsWith;

constexpr const char* kMixed = "assets/calibration/mixed.txt.xz";

std::string refusal(std::string_view packed, size_t limit = kMaxUnpackedBytes) {
  return message_of(ErrorKind::kRefused, [&] { unpack_xz(packed, "t.xz", limit); });
}

// Made by `printf 'calibration\n' | xz`, XZ Utils 5.4.1.
std::string small() {
  constexpr unsigned char kBytes[] = {
      0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21, 0x01, 0x16,
      0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0x01, 0x00, 0x0b, 0x63, 0x61, 0x6c, 0x69, 0x62, 0x72, 0x61,
      0x74, 0x69, 0x6f, 0x6e, 0x0a, 0x00, 0x18, 0x7c, 0xa6, 0xcd, 0x23, 0x42, 0x9b, 0x71, 0x00, 0x01, 0x24,
      0x0c, 0xa6, 0x18, 0xd8, 0xd8, 0x1f, 0xb6, 0xf3, 0x7d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x04, 0x59, 0x5a};
  return {reinterpret_cast<const char*>(kBytes), sizeof kBytes};
}

TEST(UnpackXz, GivesWhatXzPacked) {
  EXPECT_EQ(unpack_xz(small(), "t.xz"), "calibration\n");
  EXPECT_EQ(unpack_xz(small() + small(), "t.xz"), "calibration\ncalibration\n");
  // The hash is the one that sha256sum gives for the text before packing.
  EXPECT_EQ(sha256_hex(unpack_xz(read_text(kMixed), kMixed)),
            "8397093fa2554efe693960887a66ea7e7499373b45b6876b463c9e627376959f");
}

TEST(UnpackXz, RefusesForeignBytes) {
  EXPECT_THAT(refusal("a plain text that somebody named .xz"), StartsWith("t.xz: not an .xz file at byte "));
  EXPECT_THAT(refusal("\x1f\x8b\x08 gzip, not xz"), StartsWith("t.xz: not an .xz file at byte "));
  EXPECT_EQ(refusal(""), "t.xz: .xz data cut off at byte 0");
  EXPECT_THAT(refusal(small() + "tail"), HasSubstr(" byte "));
}

TEST(UnpackXz, RefusesEveryCutFile) {
  const std::string packed = small();
  for (size_t size = 0; size < packed.size(); ++size) {
    EXPECT_EQ(refusal(packed.substr(0, size)), fmt::format("t.xz: .xz data cut off at byte {}", size));
  }
}

TEST(UnpackXz, RefusesEveryFlippedBit) {
  // Header, index and footer carry a CRC32, the block a CRC64 of its text: no flip goes unseen.
  for (size_t bit = 0; bit < small().size() * 8; ++bit) {
    std::string packed = small();
    packed[bit / 8] = static_cast<char>(packed[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_THAT(refusal(packed), AllOf(StartsWith("t.xz: "), HasSubstr(" byte "))) << "bit " << bit;
  }
}

TEST(UnpackXz, KeepsToItsBound) {
  EXPECT_EQ(unpack_xz(small(), "t.xz", 12).size(), 12u);
  EXPECT_THAT(refusal(small(), 11), HasSubstr("unpacks to more than 11 B"));
  EXPECT_THAT(refusal(read_text(kMixed), 1 << 20), HasSubstr("unpacks to more than 1.00 MiB"));
}

}  // namespace
}  // namespace bitloom
