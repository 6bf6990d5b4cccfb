// --html: a page beside the result.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "program.h"

namespace bitloom::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Pages : public ::testing::Test {
 protected:
  Pages() { fs::create_directories(directory_); }
  ~Pages() override { fs::remove_all(directory_); }
  std::string path(const std::string& name) const { return (directory_ / name).string(); }

  fs::path directory_ = fs::temp_directory_path() / ("bitloom_pages_" + std::to_string(getpid()));
};

TEST_F(Pages, QuantizeWritesItsRecordIntoThePage) {
  const nlohmann::json record =
      run_json({"quantize", "assets/demo", path("out"), "--recipe", "int4-g32", "--html", path("page.html")});
  std::stringstream html;
  html << std::ifstream(path("page.html")).rdbuf();
  const std::string text = html.str(), start = "id=\"record\">";
  const size_t from = text.find(start) + start.size();
  EXPECT_EQ(nlohmann::json::parse(text.substr(from, text.find("</script>", from) - from)), record);
  EXPECT_THAT(text, HasSubstr("All 42 matrices"));
}

TEST_F(Pages, QuantizeRefusesAPageThatCannotBeWrittenBeforeItWorks) {
  expect_error(run_bitloom({"quantize", "assets/demo", path("out"), "--html", path("none/page.html")}), 1,
               {path("none/page.html"), "cannot write the page", "No such file or directory"});
  expect_error(run_bitloom({"quantize", "assets/demo", path("out"), "--html", path("")}), 1, {"it is a directory"});
  EXPECT_FALSE(fs::exists(path("out")));
}

TEST_F(Pages, QuantizeHasNoPageOfAForecast) {
  expect_error(run_bitloom({"quantize", "assets/demo", path("out"), "--dry-run", "--html", path("page.html")}), 2,
               {"--dry-run", "--html"});
}

}  // namespace
}  // namespace bitloom::testing
