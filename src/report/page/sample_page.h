#pragma once
// For tests: a page with every kind of block, with names and texts as hostile as a model's.

#include <cmath>
#include <string>
#include <vector>

#include "report/page/page.h"

namespace bitloom::testing {

inline constexpr const char* kHostile = "</title></script><img src=x onerror=\"window.hacked=1\">&amp;'\" \xff\x01";

inline const std::vector<std::string>& sample_names() {
  static const std::vector<std::string> names = {"int8-row", "gptq+int4-g128", "nf4-g64",
                                                 "mxfp4",    "gptq+int3-g64",  "int2-g32"};
  return names;
}
inline double sample_divergence(size_t i) { return 0.0005 * std::pow(6.0, static_cast<double>(i)); }

inline ScatterPlot sample_scatter() {
  ScatterPlot plot{{"KL divergence over true bits", "Less is better in both. Bars: 95 % intervals."},
                   {"true bits per weight"},
                   {"KL divergence, nats", true},
                   {"integers", "tables"},
                   {},
                   true};
  const double bits[] = {8.03, 4.26, 4.5, 4.25, 3.26, 2.5};
  for (size_t i = 0; i < 6; ++i) {
    const double y = sample_divergence(i);
    plot.points.push_back({sample_names()[i], bits[i], {y, 0.8 * y, 1.2 * y}, i == 2 || i == 3});
  }
  return plot;
}

inline LinePlot sample_lines() {
  LinePlot plot{{"KL divergence by position", "Means over windows; bands: 95 % intervals."},
                {"position in the window, tokens", true},
                {"KL divergence, nats", true},
                {}};
  for (size_t i = 0; i < 6; ++i) {
    Curve curve{sample_names()[i], {}, {}};
    for (int x = 1; x <= 512; x += 1 + x / 4) {
      const double y = sample_divergence(i) * (1 + 3.0 / x) * (1 + 0.1 * std::sin(x * (i + 1.0)));
      curve.x.push_back(x);
      curve.y.push_back({y, 0.9 * y, 1.1 * y});
    }
    plot.curves.push_back(curve);
  }
  return plot;
}

inline BarPlot sample_bars() {
  BarPlot plot{{"Accuracy by format and shots", "Share of problems answered exactly."},
               "format",
               {"accuracy"},
               {"nosep", "comma_r2l", "comma_l2r", "a name too long for the room it has"},
               {}};
  for (int shots = 1; shots <= 8; shots *= 2) {
    BarSeries series{std::to_string(shots) + "-shot", {}};
    for (int i = 0; i < 4; ++i) {
      const double value = 0.1 * shots + 0.04 * i;
      series.values.push_back({value, value - 0.03, value + 0.03});
    }
    plot.series.push_back(series);
  }
  plot.series[0].values[3] = {};
  return plot;
}

inline HistogramPlot sample_histogram() {
  return {{"Size of errors", "Distance of wrong answers from the right one."},
          {"|error|", true},
          {"share of answers"},
          {1, 10, 100, 1000, 1e4, 1e5},
          {{"original", {0.1, 0.2, 0.05, 0.01, 0}}, {"int3-g64", {0.12, 0.25, 0.15, 0.06, 0.02}}}};
}

inline StripPlot sample_strips() {
  StripPlot plot{{"Error of each matrix", "A row for each kind of layer, over the blocks of the model."},
                 {"block"},
                 {"relative squared error", true},
                 {"*.self_attn.q_proj.weight", "*.mlp.down_proj.weight"},
                 {},
                 {{"weight error", {}}, {"output error", {}}}};
  for (int i = 0; i < 30; ++i) plot.columns.push_back(std::to_string(i));
  for (int row = 0; row < 2; ++row) {
    for (int s = 0; s < 2; ++s) {
      std::vector<double> values(30);
      for (int i = 0; i < 30; ++i)
        values[static_cast<size_t>(i)] = std::pow(10, -2 - s + 0.4 * std::sin(i + 3.0 * row + s));
      plot.series[static_cast<size_t>(s)].values.push_back(values);
    }
  }
  plot.series[0].values[0][7] = kUnknown;
  return plot;
}

inline Passage sample_passage(const std::string& title, bool folded) {
  Passage passage{title,
                  "Each token by the divergence at its prediction.",
                  "KL divergence, nats",
                  "original",
                  "gptq+int3-g64",
                  {0.01, 0.03, 0.1, 0.3, 1, 3},
                  {},
                  folded};
  const std::vector<std::string> words = {"The",    " quick",       " brown", " fox",  " jumps", " over",
                                          "\n",     "\t",           " the",   " lazy", " dog",   ".",
                                          kHostile, "\xe2\x80\xae", "\xf0",   " 世界"};
  const std::vector<TokenChoice> choices = {{" the", 0.42}, {"\n", 0.1}, {"<b>", 0.02}, {"</td>", 0.001}};
  for (int i = 0; i < 96; ++i) {
    const double value = std::pow(10, -3 + 4 * std::fabs(std::sin(i * 1.7)));
    passage.tokens.push_back({words[static_cast<size_t>(i) % words.size()], i == 0 ? kUnknown : value,
                              i == 0 ? std::vector<TokenChoice>{} : choices, choices});
  }
  return passage;
}

inline Table sample_table() {
  Table table(
      {{"model", Align::kLeft}, {"format", Align::kLeft}, {"bits true"}, {"perplexity"}, {"KL mean"}, {"KL 99.9 %"}});
  for (const std::string& name : sample_names()) {
    table.add({"smollm2-135m-" + name, name, "4.25", "18.31 ± 0.21", "0.0312 ± 0.0008", "0.81"});
  }
  table.add({kHostile, "-", "-", "-", "-", "-"});
  return table;
}

inline Page sample_page() {
  Page page{"Six quantizations of one model", "What each of them costs and what it loses.", {}, "", "bitloom test"};
  page.sections.push_back(
      {"Totals",
       {KeyFigures{
            {{"4.26", "true bits per weight", "nominal 4.25"}, {"76.2 MiB", "weight files", "29.6 % of 257 MiB"}}},
        Callout{Callout::Kind::kWarning, "The damping of two matrices was raised", {"layers.0: 0.05", "layers.3: 0.1"}},
        Callout{Callout::Kind::kNote, "Protocol", {"windows of 512 tokens"}}, TableBlock{"Six models", sample_table()},
        Paragraph{kHostile}, TableBlock{"The same, folded", sample_table(), true}}});
  page.sections.push_back({"Plots",
                           {Plot(sample_scatter()), Plot(sample_lines()), Plot(sample_bars()), Plot(sample_histogram()),
                            Plot(sample_strips())}});
  page.sections.push_back(
      {"Passages", {sample_passage("A passage", false), sample_passage(std::string("Another ") + kHostile, true)}});
  page.sections.push_back({"Provenance",
                           {Subtitle{"Files"}, FactList{{{"sha256", std::string(64, 'f')}, {kHostile, kHostile}}},
                            CodeBlock{"Recipe", "steps:\n  - quantize: int4-g128   # " + std::string(kHostile)}}});
  page.record = "{\"text\": \"</script><!--<script>\"}";
  return page;
}

}  // namespace bitloom::testing
