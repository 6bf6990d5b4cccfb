#include "cli/terminal/progress_bar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>
#include <vector>

#include "report/table.h"

namespace bitloom {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// A terminal (or a pipe) of known width whose clock the test moves.
struct FakeScreen {
  double now = 0;
  int columns = 80;
  std::vector<std::string> writes;

  ProgressTarget target(bool terminal, bool unicode = false) {
    return {terminal, unicode, [this] { return columns; }, [this] { return now; },
            [this](const std::string& text) { writes.push_back(text); }};
  }
};

// What stands on the screen after "\r text ESC[K".
std::string shown(const std::string& write) {
  const size_t end = write.find("\x1b[K");
  return write.substr(1, end - 1);
}

TEST(ProgressBar, ShortWorkShowsNothing) {
  for (const bool terminal : {true, false}) {
    FakeScreen screen;
    ProgressBar bar(screen.target(terminal));
    bar.begin("evaluate", 100);
    for (int i = 0; i < 100; ++i) {
      screen.now += 0.015;
      bar.advance(1, "");
    }
    bar.end();
    EXPECT_TRUE(screen.writes.empty()) << "terminal " << terminal << ": " << screen.writes.front();
  }
}

TEST(ProgressBar, AppearsOnceWorkIsKnownToBeLong) {
  FakeScreen screen;
  ProgressBar bar(screen.target(true));
  bar.begin("quantize", 100);
  screen.now = 0.4;  // too early to tell
  bar.advance(1, "");
  EXPECT_TRUE(screen.writes.empty());
  screen.now = 0.6;  // 2 of 100 in 0.6 s: 30 s in all
  bar.advance(1, "layer 0");
  ASSERT_EQ(screen.writes.size(), 1u);
  EXPECT_EQ(shown(screen.writes[0]), "quantize  ........................   2 %  0:29 left  layer 0");
}

TEST(ProgressBar, EtaFollowsUnitsDone) {
  FakeScreen screen;
  ProgressBar bar(screen.target(true, true));
  bar.begin("evaluate", 1000);
  screen.now = 50;
  bar.advance(250, "");  // a quarter in 50 s: 150 s to go
  EXPECT_EQ(shown(screen.writes.back()), "evaluate  ██████░░░░░░░░░░░░░░░░░░  25 %  2:30 left");
  screen.now = 7200;
  bar.advance(250, "");
  EXPECT_THAT(shown(screen.writes.back()), HasSubstr(" 50 %  2:00:00 left"));
}

TEST(ProgressBar, RedrawsAtMostTenTimesASecond) {
  FakeScreen screen;
  ProgressBar bar(screen.target(true));
  bar.begin("evaluate", 100000);
  for (int i = 0; i < 10000; ++i) {
    screen.now += 0.001;
    bar.advance(1, "");
  }
  // Ten seconds, the first half silent: at most 95 redraws and the first.
  EXPECT_LE(screen.writes.size(), 96u);
  EXPECT_GE(screen.writes.size(), 80u);
}

TEST(ProgressBar, FitsTheTerminal) {
  FakeScreen screen;
  ProgressBar bar(screen.target(true));
  bar.begin("quantize", 10);
  screen.now = 3;
  bar.advance(1, "model.layers.12.self_attn.q_proj.weight.and.a.very.long.name.that.goes.on");
  EXPECT_EQ(display_width(shown(screen.writes.back())), 79u);
  screen.columns = 40;  // the window was made smaller
  screen.now = 4;
  bar.advance(1, "");
  EXPECT_EQ(display_width(shown(screen.writes.back())), 39u);
  EXPECT_THAT(shown(screen.writes.back()), StartsWith("quantize   20 %  0:16 left"));
}

TEST(ProgressBar, LeavesAnEmptyLineBehind) {
  FakeScreen screen;
  ProgressBar bar(screen.target(true));
  bar.begin("quantize", 10);
  screen.now = 3;
  bar.advance(5, "");
  bar.end();
  EXPECT_EQ(screen.writes.back(), "\r\x1b[K");
  const size_t writes = screen.writes.size();
  bar.end();
  bar.advance(1, "");
  EXPECT_EQ(screen.writes.size(), writes) << "nothing is drawn after the end";
}

TEST(ProgressBar, LogLinesStandAboveTheBar) {
  FakeScreen screen;
  ProgressBar bar(screen.target(true));
  bar.log("before");
  bar.begin("quantize", 10);
  screen.now = 3;
  bar.advance(5, "");
  bar.log("warning: 3 clipped");
  ASSERT_EQ(screen.writes.size(), 5u);
  EXPECT_EQ(screen.writes[0], "before\n");
  EXPECT_EQ(screen.writes[2], "\r\x1b[K");
  EXPECT_EQ(screen.writes[3], "warning: 3 clipped\n");
  EXPECT_EQ(screen.writes[4], screen.writes[1]);
}

TEST(ProgressBar, PlainLinesEveryTenth) {
  FakeScreen screen;
  ProgressBar bar(screen.target(false));
  bar.begin("evaluate", 1000);
  for (int i = 0; i < 1000; ++i) {
    screen.now += 0.05;  // 50 s in all: a tenth takes 5 s
    bar.advance(1, "window");
  }
  bar.end();
  ASSERT_EQ(screen.writes.size(), 10u);
  EXPECT_EQ(screen.writes[0], "evaluate: 10 %, 0:45 left\n");
  EXPECT_EQ(screen.writes[8], "evaluate: 90 %, 0:05 left\n");
  EXPECT_EQ(screen.writes[9], "evaluate: done in 0:50\n");
}

TEST(ProgressBar, PlainLinesEveryTenSecondsOfSlowWork) {
  FakeScreen screen;
  ProgressBar bar(screen.target(false));
  bar.begin("quantize", 10000);
  for (int i = 0; i < 35; ++i) {
    screen.now += 1;
    bar.advance(1, "");
  }
  ASSERT_EQ(screen.writes.size(), 3u);
  EXPECT_THAT(screen.writes[0], StartsWith("quantize: 0 %, 2:46:"));
}

TEST(ProgressBar, UnknownTotalHasNoShare) {
  FakeScreen screen;
  ProgressBar bar(screen.target(true));
  bar.begin("read", 0);
  screen.now = 5;
  bar.advance(1, "file");
  EXPECT_EQ(shown(screen.writes.back()), "read  0:05  file");
}

TEST(ProgressBar, ACheckCanStopTheWork) {
  FakeScreen screen;
  ProgressBar bar(screen.target(true));
  bar.begin("quantize", 10);
  bar.on_advance([] { throw std::runtime_error("stop"); });
  EXPECT_THROW(bar.advance(1, ""), std::runtime_error);
}

TEST(ProgressBar, ManyThreadsLoseNoUnit) {
  FakeScreen screen;
  screen.now = 100;
  ProgressBar bar(screen.target(true));
  bar.begin("evaluate", 4001);
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&bar] {
      for (int i = 0; i < 1000; ++i) bar.advance(1, "x");
    });
  for (std::thread& thread : threads) thread.join();
  screen.now = 104;
  bar.advance(1, "all");
  EXPECT_THAT(shown(screen.writes.back()), HasSubstr("100 %  0:00 left  all"));
}

}  // namespace
}  // namespace bitloom
