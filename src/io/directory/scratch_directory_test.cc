#include "io/directory/scratch_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "base/test_data.h"

namespace bitloom {
namespace {

TEST(ScratchDirectory, GoesWithAllItHolds) {
  const testing::TempDir parent;
  std::string path;
  {
    ScratchDirectory first(parent.path());
    const ScratchDirectory moved(std::move(first)), other(parent.path());
    path = moved.path();
    EXPECT_NE(path, other.path());
    std::ofstream(path + "/file") << "x";
    EXPECT_TRUE(std::filesystem::exists(path + "/file"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(parent.path()));
}

TEST(ScratchDirectory, WhatKilledProcessesLeftIsRemoved) {
  const testing::TempDir parent;
  std::filesystem::create_directories(parent.file("scratch-a1b2c3/block"));
  std::ofstream(parent.file("journal.json")) << "{}";
  remove_scratch_directories(parent.path());
  EXPECT_FALSE(std::filesystem::exists(parent.file("scratch-a1b2c3")));
  EXPECT_TRUE(std::filesystem::exists(parent.file("journal.json")));
}

TEST(ScratchDirectory, SaysWhereItCannotBe) {
  EXPECT_THAT(testing::message_of(ErrorKind::kFailed, [] { ScratchDirectory("/nowhere/at/all"); }),
              ::testing::HasSubstr("/nowhere/at/all/scratch-"));
}

}  // namespace
}  // namespace bitloom
