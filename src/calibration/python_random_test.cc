#include "calibration/python_random.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <numeric>

#include "base/test_data.h"
#include "io/json.h"

namespace bitloom {
namespace {

uint32_t crc32(const std::string& bytes) {
  uint32_t crc = 0xFFFFFFFF;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320U : 0U);
  }
  return ~crc;
}

std::string words(PythonRandom& random, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) {
    const uint64_t word = random.getrandbits(32);
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(word >> shift & 0xFF);
  }
  return bytes;
}

TEST(PythonRandom, DrawsWhatCPythonDraws) {
  const Json golden = read_json(testing::golden("calibration/random.json"));
  ASSERT_GE(golden["series"].size(), 10u);
  for (const Json& series : golden["series"]) {
    SCOPED_TRACE(series["seed"].dump());
    PythonRandom random(series["seed"].get<uint64_t>());
    for (int k = 1; k <= 64; ++k)
      EXPECT_EQ(fmt::format("{:x}", random.getrandbits(k)),
                series["bits"][static_cast<size_t>(k - 1)].get<std::string>());
    for (size_t i = 0; i < golden["ranges"].size(); ++i) {
      const Json& range = golden["ranges"][i];
      EXPECT_EQ(random.randint(range[0].get<int64_t>(), range[1].get<int64_t>()), series["integers"][i].get<int64_t>());
    }
    for (const Json& real : series["reals"])
      EXPECT_EQ(random.random(), std::strtod(real.get<std::string>().c_str(), nullptr));
    std::vector<int> list(20);
    std::iota(list.begin(), list.end(), 0);
    random.shuffle(list);
    EXPECT_EQ(list, series["shuffled"].get<std::vector<int>>());
    EXPECT_EQ(crc32(words(random, 3000)), series["crc"].get<uint32_t>());
  }
}

TEST(PythonRandom, LeavesNothingToDrawFromOneNumber) {
  PythonRandom random(0);
  EXPECT_EQ(random.getrandbits(0), 0u);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(random.randint(-3, -3), -3);
  std::vector<int> none, one{7};
  random.shuffle(none);
  random.shuffle(one);
  EXPECT_EQ(one, std::vector<int>{7});
}

}  // namespace
}  // namespace bitloom
