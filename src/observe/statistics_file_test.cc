#include "observe/statistics_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include "base/error.h"
#include "base/test_data.h"
#include "io/safetensors/safetensors.h"
#include "observe/test_values.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;

InputStatistics observed(int64_t channels, uint64_t stream, bool cross, bool histogram = false) {
  ThreadPool threads(1);
  constexpr int64_t kTokens = 40;
  auto x = testing::normal_values(kTokens * channels, stream);
  const auto f = testing::normal_values(kTokens * channels, stream + 100);
  x[0] = testing::kNan;
  InputStatistics input(channels,
                        {.second_moment = true, .cross_moment = cross, .halves = cross, .histogram = histogram});
  constexpr int64_t kFirst = 15;
  input.add(f.data(), x.data(), kTokens, threads, 0, kFirst);
  return input;
}

std::string bytes_of_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(StatisticsFile, RoundTripIsExact) {
  const testing::TempDir directory;
  std::map<std::string, InputStatistics> inputs;
  inputs.emplace("attention", observed(17, 1, true));
  inputs.emplace("mlp_down", observed(300, 2, false, true));
  inputs.emplace("unseen", InputStatistics(5));
  inputs.emplace("ranges", InputStatistics(3, {.range = true}));
  ThreadPool threads(1);
  inputs.at("ranges").add(nullptr, testing::normal_values(6, 4).data(), 2, threads);
  const std::string path = directory.file("block.safetensors"), again = directory.file("again.safetensors");
  write_statistics(path, inputs, {{"text", "demo"}});
  const StatisticsFile file = read_statistics(path);
  EXPECT_EQ(file.metadata, (std::map<std::string, std::string>{{"text", "demo"}}));
  ASSERT_EQ(file.inputs.size(), 4u);
  for (const auto& [name, input] : inputs) {
    const InputStatistics& back = file.inputs.at(name);
    EXPECT_EQ(back.tokens(), input.tokens());
    EXPECT_EQ(back.dropped_tokens(), input.dropped_tokens());
    ASSERT_EQ(back.moment.has_value(), input.moment.has_value());
    if (input.moment) {
      EXPECT_EQ(back.moment->tiles(), input.moment->tiles());
      EXPECT_EQ(back.moment->tokens(), input.moment->tokens());
      EXPECT_EQ(back.moment->dropped_tokens(), input.moment->dropped_tokens());
    }
    EXPECT_EQ(back.range.low(), input.range.low());
    EXPECT_EQ(back.range.high(), input.range.high());
    EXPECT_EQ(back.range.sums(), input.range.sums());
    ASSERT_EQ(back.histogram.has_value(), input.histogram.has_value());
    if (input.histogram) {
      EXPECT_EQ(back.histogram->counts(), input.histogram->counts());
      EXPECT_EQ(back.histogram->count(), 39 * 300);
      EXPECT_EQ(back.histogram->exponent(), input.histogram->exponent());
      EXPECT_EQ(back.histogram->low(), input.histogram->low());
      EXPECT_EQ(back.histogram->high(), input.histogram->high());
    }
    ASSERT_EQ(back.cross.has_value(), input.cross.has_value());
    ASSERT_EQ(back.half.has_value(), input.half.has_value());
    if (!input.cross) continue;
    EXPECT_EQ(back.cross->sums(), input.cross->sums());
    EXPECT_EQ(back.cross->tokens(), input.cross->tokens());
    EXPECT_EQ(back.half->moment.tiles(), input.half->moment.tiles());
    EXPECT_EQ(back.half->moment.tokens(), 14);
    EXPECT_EQ(back.half->moment.dropped_tokens(), 1);
    EXPECT_EQ(back.half->cross.sums(), input.half->cross.sums());
    EXPECT_EQ(back.half->cross.tokens(), 14);
  }
  EXPECT_EQ(file.inputs.at("attention").dropped_tokens(), 1);
  write_statistics(again, file.inputs, file.metadata);
  EXPECT_EQ(bytes_of_file(path), bytes_of_file(again));
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
}

TEST(StatisticsFile, WhatCannotBeWrittenIsSaid) {
  const testing::TempDir directory;
  EXPECT_THROW(write_statistics(directory.file("none/x.safetensors"), {}, {}), Error);
  EXPECT_THROW(write_statistics(directory.file("x.safetensors"), {}, {{"format", "mine"}}), Error);
  EXPECT_FALSE(std::filesystem::exists(directory.file("x.safetensors")));
}

/// The tensors of a good file of one input "in" of two channels, to be spoilt.
struct Tensors {
  std::map<std::string, TensorSpec> specs;
  std::map<std::string, std::string> bytes;
  std::map<std::string, std::string> metadata = {{"format", "bitloom statistics 4"}};

  explicit Tensors(const std::string& directory) {
    const std::string path = directory + "/good.safetensors";
    std::map<std::string, InputStatistics> inputs;
    inputs.emplace("in", observed(2, 3, true, true));
    write_statistics(path, inputs, {});
    for (const TensorView& tensor : open_safetensors(path).tensors) {
      specs[tensor.name] = {tensor.name, tensor.dtype, tensor.shape};
      bytes[tensor.name].assign(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
    }
  }
  template <typename T>
  void set(const std::string& name, size_t at, T value) {
    std::memcpy(bytes.at(name).data() + at * sizeof value, &value, sizeof value);
  }
  void reshape(const std::string& name, DType dtype, std::vector<int64_t> shape) {
    specs[name] = {name, dtype, std::move(shape)};
    bytes[name].assign(static_cast<size_t>(specs[name].bytes()), '\0');
  }
  void remove(const std::string& name) { specs.erase(name), bytes.erase(name); }
  void write(const std::string& path) const {
    std::vector<TensorBytes> tensors;
    for (const auto& [name, spec] : specs) tensors.push_back({spec, std::as_bytes(std::span(bytes.at(name)))});
    write_safetensors_file(path, tensors, metadata);
  }
};

TEST(StatisticsFile, HostileFilesAreRefusedWithTheTensorNamed) {
  const testing::TempDir directory;
  const Tensors good(directory.path());
  const std::string path = directory.file("bad.safetensors");
  good.write(path);
  EXPECT_NO_THROW(read_statistics(path));
  const struct {
    std::string expected;
    std::function<void(Tensors&)> spoil;
  } cases[] = {
      {"\"format\"", [](Tensors& t) { t.metadata.clear(); }},
      {"bitloom statistics 1", [](Tensors& t) { t.metadata["format"] = "bitloom statistics 1"; }},
      {"'in.low'", [](Tensors& t) { t.remove("in.low"); }},
      {"'in.sums'", [](Tensors& t) { t.remove("in.sums"); }},
      {"'in.cross_moment'", [](Tensors& t) { t.remove("in.cross_moment"); }},
      {"'in.half_cross_moment'", [](Tensors& t) { t.remove("in.half_cross_moment"); }},
      {"'in.half_second_moment': the mean square of channel 1 is",
       [](Tensors& t) { t.set<double>("in.half_second_moment", 257, -1.0); }},
      {"'in.half_cross_moment' belongs", [](Tensors& t) { t.set<int64_t>("in.counts", 7, 0); }},
      {"'in.counts' holds 2 at 7, expected 0 or 1", [](Tensors& t) { t.set<int64_t>("in.counts", 7, 2); }},
      {"'in.cross_moment' belongs to no input", [](Tensors& t) { t.remove("in.counts"); }},
      {"'other.low'", [](Tensors& t) { t.reshape("other.low", DType::kF32, {2}); }},
      {"'in.low' has shape [1, 2]",
       [](Tensors& t) {
         t.reshape("in.low", DType::kF32, {1, 2});
       }},
      {"'in.low' has shape [0]", [](Tensors& t) { t.reshape("in.low", DType::kF32, {0}); }},
      {"'in.high' is F32 [3]", [](Tensors& t) { t.reshape("in.high", DType::kF32, {3}); }},
      {"'in.sums' is F32 [2]", [](Tensors& t) { t.reshape("in.sums", DType::kF32, {2}); }},
      {"'in.second_moment' is F64 [2, 256, 256]",
       [](Tensors& t) {
         t.reshape("in.second_moment", DType::kF64, {2, 256, 256});
       }},
      {"'in.cross_moment' is F32 [2, 3]",
       [](Tensors& t) {
         t.reshape("in.cross_moment", DType::kF32, {2, 3});
       }},
      {"'in.counts' holds -1 at 2", [](Tensors& t) { t.set<int64_t>("in.counts", 2, -1); }},
      {"'in.counts' holds 2 at 2", [](Tensors& t) { t.set<int64_t>("in.counts", 2, 2); }},
      {"'in.second_moment' belongs", [](Tensors& t) { t.set<int64_t>("in.counts", 2, 0); }},
      {"'in.second_moment'", [](Tensors& t) { t.remove("in.second_moment"); }},
      {"'in.counts' holds 2 at 3", [](Tensors& t) { t.set<int64_t>("in.counts", 3, 2); }},
      {"'in.cross_moment' belongs", [](Tensors& t) { t.set<int64_t>("in.counts", 3, 0); }},
      {"'in.second_moment' holds nan at 1", [](Tensors& t) { t.set("in.second_moment", 1, double{testing::kNan}); }},
      {"channel 1 is -", [](Tensors& t) { t.set("in.second_moment", 257, -1.0); }},
      {"'in.low' holds 1e+30 for channel 0", [](Tensors& t) { t.set("in.low", 0, 1e30f); }},
      {"'in.counts' holds 3 at 5", [](Tensors& t) { t.set<int64_t>("in.counts", 5, 3); }},
      {"'in.extremes' belongs", [](Tensors& t) { t.set<int64_t>("in.counts", 5, 0); }},
      {"'in.histogram' is I64 [65536], expected I64 [2]", [](Tensors& t) { t.set<int64_t>("in.counts", 5, 2); }},
      {"'in.histogram': a histogram with a bin of -7", [](Tensors& t) { t.set<int64_t>("in.histogram", 9, -7); }},
      {"'in.histogram': a histogram of bins 2^900", [](Tensors& t) { t.set<int64_t>("in.counts", 6, 900); }},
      {"'in.histogram': a histogram of values from 1e+30", [](Tensors& t) { t.set("in.extremes", 0, 1e30f); }},
      {"'in.extremes' holds nan", [](Tensors& t) { t.set("in.extremes", 1, testing::kNan); }},
      {"'in.high' holds inf", [](Tensors& t) { t.set("in.high", 0, testing::kInf); }},
  };
  for (const auto& bad : cases) {
    Tensors tensors = good;
    bad.spoil(tensors);
    tensors.write(path);
    try {
      read_statistics(path);
      ADD_FAILURE() << "accepted: " << bad.expected;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kRefused);
      EXPECT_THAT(error.what(), HasSubstr(bad.expected));
      EXPECT_THAT(error.what(), HasSubstr(path));
    }
  }
}

}  // namespace
}  // namespace bitloom
