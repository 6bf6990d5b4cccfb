#include "report/plot/plot.h"

#include <fmt/format.h>

#include <map>
#include <string>

#include "report/html.h"
#include "report/plot/frame.h"

namespace bitloom {
namespace {

Table table_of(const ScatterPlot& plot) {
  const bool grouped = plot.groups.size() > 1;
  std::vector<Column> columns = {{"point", Align::kLeft}};
  if (grouped) columns.push_back({"group", Align::kLeft});
  columns.insert(columns.end(), {{plot.x.title}, {plot.y.title}});
  Table table(columns);
  for (const ScatterPoint& point : plot.points) {
    std::vector<std::string> cells = {point.label};
    if (grouped) cells.push_back(plot.groups.at(static_cast<size_t>(point.group)));
    cells.insert(cells.end(), {cell(point.x), cell(point.y)});
    table.add(std::move(cells));
  }
  return table;
}

/// A row for each x of any curve.
Table table_of(const LinePlot& plot) {
  std::vector<Column> columns = {{plot.x.title}};
  std::map<double, std::vector<std::string>> rows;
  for (size_t i = 0; i < plot.curves.size(); ++i) {
    const Curve& curve = plot.curves[i];
    columns.push_back({curve.name.empty() ? plot.y.title : curve.name});
    for (size_t k = 0; k < curve.x.size(); ++k) {
      auto& row = rows.try_emplace(curve.x[k], plot.curves.size(), "-").first->second;
      row[i] = cell(curve.y[k]);
    }
  }
  Table table(columns);
  for (auto& [x, cells] : rows) {
    cells.insert(cells.begin(), cell(x));
    table.add(cells);
  }
  return table;
}

Table table_of(const BarPlot& plot) {
  std::vector<Column> columns = {{plot.category_title, Align::kLeft}};
  for (const BarSeries& series : plot.series) columns.push_back({series.name.empty() ? plot.value.title : series.name});
  Table table(columns);
  for (size_t i = 0; i < plot.categories.size(); ++i) {
    std::vector<std::string> cells = {plot.categories[i]};
    for (const BarSeries& series : plot.series) cells.push_back(cell(series.values[i]));
    table.add(std::move(cells));
  }
  return table;
}

Table table_of(const HistogramPlot& plot) {
  std::vector<Column> columns = {{plot.x.title}};
  for (const HistogramSeries& series : plot.series)
    columns.push_back({series.name.empty() ? plot.y.title : series.name});
  Table table(columns);
  for (size_t i = 0; i + 1 < plot.edges.size(); ++i) {
    std::vector<std::string> cells = {cell(plot.edges[i]) + " to " + cell(plot.edges[i + 1])};
    for (const HistogramSeries& series : plot.series) cells.push_back(cell(series.values[i]));
    table.add(std::move(cells));
  }
  return table;
}

/// A row for each column of the plot, as there are more of them than kinds. Several series: a table row for each.
Table table_of(const StripPlot& plot) {
  std::vector<Column> columns = {{plot.x.title}};
  if (plot.series.size() > 1) columns.push_back({plot.y.title, Align::kLeft});
  for (const std::string& row : plot.rows) columns.push_back({row});
  Table table(columns);
  for (size_t i = 0; i < plot.columns.size(); ++i) {
    for (const StripSeries& series : plot.series) {
      std::vector<std::string> cells = {plot.columns[i]};
      if (plot.series.size() > 1) cells.push_back(series.name);
      for (const std::vector<double>& row : series.values) cells.push_back(cell(row[i]));
      table.add(std::move(cells));
    }
  }
  return table;
}

}  // namespace

const Caption& caption_of(const Plot& plot) {
  return std::visit([](const auto& kind) -> const Caption& { return kind.caption; }, plot);
}

std::string to_svg(const Plot& plot, int width, const std::string& id) {
  const Picture picture = std::visit([&](const auto& kind) { return draw(kind, width, id); }, plot);
  const Caption& caption = caption_of(plot);
  return fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" )"
      R"(aria-labelledby="{2}t {2}d"><title id="{2}t">{3}</title><desc id="{2}d">{4}</desc>)"
      "\n{5}</svg>\n",
      width, pixels(picture.height), id, escape_html(caption.title), escape_html(caption.text), picture.contents);
}

std::string svg_file(const Plot& plot, int width) {
  constexpr std::string_view kOwn =
      "svg { background: var(--bg); font-family: system-ui, \"Segoe UI\", Roboto, \"Liberation Sans\", sans-serif; }\n";
  std::string svg = to_svg(plot, width, "plot");
  svg.insert(svg.find('\n') + 1, fmt::format("<style>\n{}{}</style>\n", kPlotStyle, kOwn));
  return svg;
}

Table data_of(const Plot& plot) {
  return std::visit([](const auto& kind) { return table_of(kind); }, plot);
}

}  // namespace bitloom
