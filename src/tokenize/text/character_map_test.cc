#include "tokenize/text/character_map.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"

namespace bitloom {
namespace {

constexpr uint32_t kLeaf = 0x100;

CharacterMap map_of(const std::vector<uint32_t>& units, std::string_view replacements) {
  const auto size = static_cast<uint32_t>(4 * units.size());
  std::string bytes(4 + size, '\0');
  std::memcpy(bytes.data(), &size, 4);
  std::memcpy(bytes.data() + 4, units.data(), size);
  return {bytes + std::string(replacements), "map"};
}

// "length:replacement" of the shortest and of the longest string.
std::string found(const CharacterMap& map, std::string_view text) {
  std::string out;
  for (const auto& match : {map.shortest(text), map.longest(text)})
    out += match ? fmt::format("{}:{} ", match->length, match->by) : "- ";
  return out;
}

// "a" becomes "x", "ab" becomes "yz". Of node n with offset o the child for byte b is n ^ o ^ b, the leaf n ^ o.
std::vector<uint32_t> a_and_ab() {
  std::vector<uint32_t> units(0x400);
  units[0] = 0x100 << 10;
  units[0x161] = 'a' | kLeaf | (0x161 ^ 0x200) << 10;
  units[0x200] = 0x80000000;
  units[0x262] = 'b' | kLeaf | (0x262 ^ 0x300) << 10;
  units[0x300] = 0x80000002;
  return units;
}

TEST(CharacterMap, FindsTheShortestAndTheLongest) {
  const CharacterMap map = map_of(a_and_ab(), std::string_view("x\0yz\0", 5));
  EXPECT_EQ(found(map, "abc"), "1:x 2:yz ");
  EXPECT_EQ(found(map, "ac"), "1:x 1:x ");
  EXPECT_EQ(found(map, "b"), "- - ");
  EXPECT_EQ(found(map, ""), "- - ");
}

// The single byte C3 becomes "x".
TEST(CharacterMap, LeavesOutWhatEndsInsideACharacter) {
  std::vector<uint32_t> units(0x400);
  units[0] = 0x100 << 10;
  units[0x1C3] = 0xC3 | kLeaf | 0x200 << 10;
  units[0x3C3] = 0x80000000;
  const CharacterMap map = map_of(units, std::string_view("x\0", 2));
  EXPECT_EQ(found(map, "\u00e4"), "- - ");
  EXPECT_EQ(found(map, "\u00e4a"), "- - ");
}

// The node of "a" is its own child for "a", so that the trie never ends.
TEST(CharacterMap, RefusesAStringWithoutEnd) {
  std::vector<uint32_t> units(0x400);
  units[0] = 0x100 << 10;
  units[0x161] = 'a' | 'a' << 10;
  const CharacterMap map = map_of(units, "");
  EXPECT_EQ(found(map, std::string(1024, 'a')), "- - ");
  try {
    map.longest(std::string(1025, 'a'));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kRefused);
    EXPECT_STREQ(error.what(), "map: its trie has a string of more than 1024 bytes");
  }
}

TEST(CharacterMap, RefusesReplacementsThatAreTooLong) {
  EXPECT_NO_THROW(map_of({0}, std::string(1024, 'x')));
  EXPECT_THROW(map_of({0}, std::string(1025, 'x')), Error);
}

}  // namespace
}  // namespace bitloom
