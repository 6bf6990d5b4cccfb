#include "cli/pages/quantize_page.h"

#include <gtest/gtest.h>

namespace bitloom {
namespace {

/// Not HasSubstr, which would print the whole page.
bool holds(const std::string& html, const std::string& part) { return html.find(part) != std::string::npos; }

/// Two blocks of one matrix each; the second is the worse one and needed more damping.
QuantizeResult result_with_data() {
  QuantizeResult result;
  for (int block = 0; block < 2; ++block) {
    SiteRecord site;
    site.name = "layers." + std::to_string(block) + ".up.weight";
    site.storage = "int4-g32";
    site.rounding = "gptq";
    site.rows = 4, site.cols = 32;
    site.bits_nominal = site.bits_true = 4.5;
    site.weight_error = 0.01 + 0.02 * block;
    site.output_error = 0.001 + 0.002 * block;
    site.damping = block == 0 ? 0.01 : 0.08;
    result.sites.push_back(site);
  }
  result.bits_nominal = result.bits_true = 4.5;
  result.bytes = 1 << 20, result.bytes_before = 4 << 20;
  result.remarks = {"a <remark>"};
  result.times = WalkTimes{1, 2, 3, 4, 100};
  return result;
}

Json manifest() {
  const Json file = {{"bytes", 12}, {"sha256", "abc"}};
  return {{"bitloom", "0.1.0"},
          {"source", {{"name", "tiny"}, {"kind", "huggingface"}, {"files", {{"model.safetensors", file}}}}},
          {"calibration", {{"source", "web.txt"}, {"fingerprint", {{"hashes", "00"}}}}},
          {"files", {{"out.safetensors", file}}}};
}

std::string page_of(const QuantizeResult& result) {
  return to_html(quantize_page("out/dir", result, load_recipe("gptq+int4-g32"), manifest(), Json{{"answer", 42}}));
}

TEST(QuantizePage, SaysWhatWasLostWhereAndFromWhat) {
  const std::string html = page_of(result_with_data());
  EXPECT_TRUE(holds(html, "<h1>out/dir</h1>"));
  EXPECT_TRUE(holds(html, "<b>0.0200</b> <span>worst matrix 0.0300</span>"));    // weights: mean and worst
  EXPECT_TRUE(holds(html, "<b>0.00200</b> <span>worst matrix 0.00300</span>"));  // outputs
  EXPECT_TRUE(holds(html, "25.0 % of 4.00 MiB"));
  EXPECT_TRUE(holds(html, "The damping of 1 matrix was raised above 0.0100"));
  EXPECT_TRUE(holds(html, "layers.1.up.weight: 0.0800"));
  EXPECT_TRUE(holds(html, "a &lt;remark&gt;"));
  EXPECT_TRUE(holds(html, "All 2 matrices"));
  EXPECT_TRUE(holds(html, "rounding: gptq"));
  EXPECT_TRUE(holds(html, "<dt>source</dt><dd>web.txt</dd>"));
  EXPECT_TRUE(holds(html, "<th scope=\"row\">out.safetensors</th><td class=\"n\">12</td><td>abc</td>"));
  EXPECT_TRUE(holds(html, "\"answer\": 42"));
  EXPECT_FALSE(holds(html, "Saturated weights"));  // there are none
  // The worse matrix stands first in the table of the largest errors.
  const size_t table = html.find("aria-label=\"The largest errors\"");
  EXPECT_LT(html.find("layers.1.up.weight", table), html.find("layers.0.up.weight", table));
}

TEST(QuantizePage, PointsOutCompensationBeyondReason) {
  QuantizeResult result = result_with_data();
  result.sites[0].compensation_ratio = 3;
  EXPECT_FALSE(holds(page_of(result), "error feedback made weights"));
  EXPECT_TRUE(holds(page_of(result), "compensation: largest weight after compensation"));
  result.sites[1].compensation_ratio = 12.34;
  const std::string html = page_of(result);
  EXPECT_TRUE(holds(html, "error feedback made weights of 1 matrix more than 10 times the largest"));
  EXPECT_TRUE(holds(html, "layers.1.up.weight: 12.3<"));
  EXPECT_FALSE(holds(html, "rows kept"));  // no rounding was learned
}

TEST(QuantizePage, WithoutDataThereAreNoOutputs) {
  QuantizeResult result = result_with_data();
  for (SiteRecord& site : result.sites) {
    site.output_error.reset();
    site.damping.reset();
    site.saturated = 2;
  }
  result.times.reset();
  const std::string html = page_of(result);
  EXPECT_FALSE(holds(html, "output error, relative"));
  EXPECT_FALSE(holds(html, "Where the time went"));
  EXPECT_TRUE(holds(html, "Saturated weights"));
}

TEST(QuantizePage, NothingIsMeasuredOfMatricesTakenOver) {
  QuantizeResult result = result_with_data();
  for (SiteRecord& site : result.sites) {
    site = {};
    site.name = "layers.0.up.weight";
    site.taken_over = true;
  }
  result.times.reset();
  const std::string html = page_of(result);
  EXPECT_FALSE(holds(html, "The largest errors"));
  EXPECT_FALSE(holds(html, "Error of each matrix"));
  EXPECT_TRUE(holds(html, "nothing was measured"));
  EXPECT_FALSE(holds(html, "Error of each matrix"));
  EXPECT_FALSE(holds(html, ">nan"));
}

}  // namespace
}  // namespace bitloom
