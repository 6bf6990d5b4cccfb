#include "suite/tables/marked_text.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {
namespace {

constexpr std::string_view kOpen = "<!-- ", kClose = " -->", kEnd = "<!-- end -->";

struct Mark {
  std::string path, table;
};

/// A line of the form <!-- PATH.yaml [TABLE] -->.
std::optional<Mark> mark_of(const std::string& line) {
  if (!line.starts_with(kOpen) || !line.ends_with(kClose) || line == kEnd) return std::nullopt;
  const std::string inside = line.substr(kOpen.size(), line.size() - kOpen.size() - kClose.size());
  const size_t blank = std::min(inside.find(' '), inside.size());
  Mark mark = {inside.substr(0, blank), blank < inside.size() ? inside.substr(blank + 1) : ""};
  if (!mark.path.ends_with(".yaml")) return std::nullopt;
  return mark;
}

std::string file_name(const std::string& path) { return std::filesystem::path(path).filename().string(); }

const RenderedTable& find_table(const std::vector<RenderedTable>& tables, const std::string& name,
                                const std::string& place) {
  if (name.empty()) return tables.front();
  std::vector<std::string> names;
  for (const RenderedTable& table : tables) {
    if (table.name == name) return table;
    names.push_back(table.name);
  }
  misuse("{}: the suite has no table '{}'{}; there are: {}", place, name, did_you_mean(name, names),
         fmt::join(names, ", "));
}

}  // namespace

std::string fill_marked_parts(const std::string& text, const std::string& origin, const std::string& suite_path,
                              const std::vector<RenderedTable>& tables) {
  const std::vector<std::string> lines = split(text, '\n');
  std::string out;
  size_t filled = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    out += lines[i] + (i + 1 < lines.size() ? "\n" : "");
    const std::optional<Mark> mark = mark_of(lines[i]);
    if (!mark || file_name(mark->path) != file_name(suite_path)) continue;
    const std::string place = fmt::format("{}:{}", origin, i + 1);
    const RenderedTable& table = find_table(tables, mark->table, place);
    if (table.missing + table.failed > 0)
      misuse("{}: the table is left as it is: {} of its values are not there yet, {} failed", place, table.missing,
             table.failed);
    const auto end = std::find(lines.begin() + static_cast<std::ptrdiff_t>(i), lines.end(), kEnd);
    const auto next = std::find_if(lines.begin() + static_cast<std::ptrdiff_t>(i) + 1, lines.end(),
                                   [](const std::string& line) { return mark_of(line).has_value(); });
    if (end == lines.end() || next < end) misuse("{}: the part is not closed by a line {}", place, kEnd);
    out += "\n" + table.markdown + "\n";
    i = static_cast<size_t>(end - lines.begin()) - 1;  // the line of the end comes next
    ++filled;
  }
  if (filled == 0)
    misuse("{}: no line <!-- suites/{} -->, which begins a part to fill in", origin, file_name(suite_path));
  return out;
}

}  // namespace bitloom
