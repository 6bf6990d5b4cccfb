#include "eval/tasks/task.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/text/text.h"
#include "io/hash.h"
#include "io/yaml_reader.h"
#include "tokenize/text/regex.h"

namespace bitloom {
namespace {

using Keys = std::vector<std::string>;

struct KindRow {
  const char* name;
  TaskKind kind;
  Keys required, optional, metrics;
};

const std::vector<KindRow>& kinds() {
  static const std::vector<KindRow> rows = {
      {"choices", TaskKind::kChoices, {"context", "choices", "gold"}, {"metrics"}, {"acc", "acc_norm", "acc_bytes"}},
      {"contexts", TaskKind::kContexts, {"contexts", "target", "gold"}, {"metrics"}, {"acc"}},
      {"target", TaskKind::kTarget, {"context", "target"}, {"metrics"}, {"acc", "perplexity"}},
      {"generate",
       TaskKind::kGenerate,
       {"context", "target", "extract"},
       {"shot", "max_tokens", "stops", "ignore"},
       {}},
  };
  return rows;
}

/// Reads one task document.
class TaskReader {
 public:
  explicit TaskReader(const std::string& origin) : reader_(origin, "task") {}

  Task read(const std::string& yaml) {
    root_ = reader_.parse(yaml);
    if (!root_.IsMap()) reader_.reject(root_.Mark(), "a task must be a map");
    const KindRow& kind = kind_of_task();
    check_keys(kind);
    Task task;
    task.kind = kind.kind;
    task.description = text("description"), task.source = text("source"), task.data = text("data");
    if (has("context")) task.context = template_of("context");
    if (has("choices")) task.options = list_of("choices");
    if (has("contexts")) task.options = list_of("contexts");
    if (has("target")) task.target = template_of("target");
    if (has("gold")) task.gold = template_of("gold");
    if (has("delimiter")) task.delimiter = text("delimiter");
    task.metrics = metrics(kind);
    read_shots(task);
    if (task.kind == TaskKind::kGenerate) read_generation(task);
    return task;
  }

 private:
  bool has(const char* key) const { return root_[key].IsDefined(); }
  std::string text(const char* key) const { return reader_.text(root_[key], fmt::format("'{}'", key)); }

  const KindRow& kind_of_task() const {
    if (!has("kind")) reader_.reject(root_.Mark(), fmt::format("the key 'kind' is missing; allowed: {}", all_kinds()));
    const std::string name = text("kind");
    const auto row = std::find_if(kinds().begin(), kinds().end(), [&](const KindRow& r) { return r.name == name; });
    if (row == kinds().end())
      reader_.reject(root_["kind"].Mark(), fmt::format("unknown kind '{}'; allowed: {}", name, all_kinds()));
    return *row;
  }

  static std::string all_kinds() {
    Keys names;
    for (const KindRow& row : kinds()) names.emplace_back(row.name);
    return fmt::format("{}", fmt::join(names, ", "));
  }

  void check_keys(const KindRow& kind) const {
    static const Keys common = {"version", "description", "source", "data", "kind"};
    Keys required = common;
    required.insert(required.end(), kind.required.begin(), kind.required.end());
    Keys allowed = required;
    allowed.insert(allowed.end(), {"delimiter", "shots"});
    allowed.insert(allowed.end(), kind.optional.begin(), kind.optional.end());
    reader_.check_keys(root_, fmt::format("a task of kind {}", kind.name), allowed);
    for (const std::string& key : required)
      if (!has(key.c_str())) reader_.reject(root_.Mark(), fmt::format("the key '{}' is missing", key));
    if (text("version") != "1")
      reader_.reject(root_["version"].Mark(),
                     fmt::format("task version '{}' is not supported; this program reads version 1", text("version")));
  }

  Template template_at(const YAML::Node& node, const std::string& what) const {
    const std::string spelling = reader_.text(node, what);
    return reader_.at(node, what, [&] { return Template(spelling); });
  }
  Template template_of(const char* key) const { return template_at(root_[key], fmt::format("'{}'", key)); }

  TemplateList list_of(const char* key) const {
    const YAML::Node node = root_[key];
    if (!node.IsSequence()) {
      const std::string field = template_of(key).only_field();
      if (field.empty())
        reader_.reject(node.Mark(), fmt::format("'{}' must be a list of texts or one {{field}} that is a list", key));
      return TemplateList(field);
    }
    std::vector<Template> templates;
    for (const YAML::Node& item : node) templates.push_back(template_at(item, fmt::format("each of '{}'", key)));
    return TemplateList(std::move(templates));
  }

  Keys metrics(const KindRow& kind) const {
    if (!has("metrics")) return kind.metrics;
    Keys names = reader_.texts(root_["metrics"], "metrics", "metric");
    for (const std::string& name : names)
      if (std::find(kind.metrics.begin(), kind.metrics.end(), name) == kind.metrics.end())
        reader_.reject(root_["metrics"].Mark(),
                       fmt::format("'{}' is no metric of kind {}{}; allowed: {}", name, kind.name,
                                   did_you_mean(name, kind.metrics), fmt::join(kind.metrics, ", ")));
    return names;
  }

  int64_t count(const YAML::Node& node, const std::string& what, int64_t least) const {
    const auto value = parse_number<int64_t>(reader_.text(node, what));
    if (!value || *value < least)
      reader_.reject(node.Mark(), fmt::format("{} is '{}', must be an integer from {} on", what, node.Scalar(), least));
    return *value;
  }

  void read_shots(Task& task) const {
    const YAML::Node node = root_["shots"];
    if (!node.IsDefined()) return;
    static const Keys allowed = {"count", "separator", "preamble"};
    reader_.check_keys(node, "'shots'", allowed);
    if (node["count"].IsDefined()) task.shots = count(node["count"], "'count' of 'shots'", 0);
    if (node["separator"].IsDefined()) task.separator = reader_.text(node["separator"], "'separator' of 'shots'");
    if (node["preamble"].IsDefined()) task.preamble = reader_.text(node["preamble"], "'preamble' of 'shots'");
  }

  std::string pattern(const YAML::Node& node, const std::string& what) const {
    const std::string spelling = reader_.text(node, what);
    reader_.at(node, what, [&] { return Regex(spelling); });
    return spelling;
  }

  void read_generation(Task& task) const {
    task.shot = has("shot") ? template_of("shot") : task.target;
    if (has("max_tokens")) task.max_tokens = count(root_["max_tokens"], "'max_tokens'", 1);
    if (has("stops")) task.stops = reader_.texts(root_["stops"], "stops", "stop string");
    if (has("ignore"))
      for (const YAML::Node& node : root_["ignore"]) task.ignore.push_back(pattern(node, "each of 'ignore'"));
    const YAML::Node extract = root_["extract"];
    if (!extract.IsSequence() || extract.size() == 0)
      reader_.reject(extract.Mark(), "'extract' must be a list of at least one way to read an answer");
    for (const YAML::Node& node : extract) task.extract.push_back(extraction(node));
  }

  Extraction extraction(const YAML::Node& node) const {
    static const Keys allowed = {"name", "pattern", "take"};
    reader_.check_keys(node, "each of 'extract'", allowed);
    if (!node["pattern"].IsDefined()) reader_.reject(node.Mark(), "the key 'pattern' is missing");
    Extraction result;
    result.pattern = pattern(node["pattern"], "'pattern'");
    if (node["name"].IsDefined()) result.name = reader_.text(node["name"], "'name'");
    if (!node["take"].IsDefined()) return result;
    const std::string take = reader_.text(node["take"], "'take'");
    if (take != "first" && take != "last")
      reader_.reject(node["take"].Mark(), fmt::format("'take' is '{}'; allowed: first, last", take));
    result.last = take == "last";
    return result;
  }

  YamlReader reader_;
  YAML::Node root_;
};

}  // namespace

Task parse_task(const std::string& yaml, const std::string& origin) {
  Task task = TaskReader(origin).read(yaml);
  task.name = std::filesystem::path(origin).stem().string();
  task.file = origin;
  task.sha256 = sha256_hex(yaml);
  return task;
}

}  // namespace bitloom
