#include "pipeline/output/growth.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/text/text.h"

namespace bitloom {
namespace {

constexpr size_t kNamed = 3;  // groups of tensors that a remark names

/// Tensors that change from one storage to one other.
struct Change {
  std::string first, from, to;
  int64_t count = 0, before = 0, after = 0;
  int64_t growth() const { return after - before; }
};

std::string new_storage(const PlannedTensor& tensor) {
  if (const auto storage = tensor.storage()) return to_string(*storage);
  return std::string(info(tensor.parts.front().dtype).name);
}

std::string text_of(const Change& change) {
  const std::string who = change.count == 1 ? fmt::format("'{}'", change.first)
                                            : fmt::format("{} tensors such as '{}'", change.count, change.first);
  if (change.from.empty())
    return fmt::format("{}, which the source does not have, {} as {}", who, human_bytes(change.after), change.to);
  return fmt::format("{}, {} as {} -> {} as {}", who, human_bytes(change.before), change.from,
                     human_bytes(change.after), change.to);
}

/// Those that grow, most first.
std::vector<Change> grown(const Checkpoint& source, const std::vector<PlannedTensor>& plan) {
  std::map<std::pair<std::string, std::string>, Change> changes;
  for (const PlannedTensor& tensor : plan) {
    const bool known = source.has(tensor.name);
    const RowSourcePtr before = known ? source.tensor(tensor.name).rows : nullptr;
    const std::string from = known ? before->storage() : "", to = new_storage(tensor);
    Change& change = changes.try_emplace({from, to}, Change{tensor.name, from, to}).first->second;
    change.count += 1;
    change.before += known ? before->stored_bytes() : 0;
    change.after += tensor.bytes();
  }
  std::vector<Change> result;
  for (const auto& [key, change] : changes)
    if (change.growth() > 0) result.push_back(change);
  std::stable_sort(result.begin(), result.end(),
                   [](const Change& a, const Change& b) { return a.growth() > b.growth(); });
  return result;
}

}  // namespace

std::string growth_remark(const Checkpoint& source, const std::vector<PlannedTensor>& plan) {
  int64_t before = 0, after = 0;
  for (const std::string& file : source.weight_files())
    before += static_cast<int64_t>(std::filesystem::file_size(file));
  for (const PlannedTensor& tensor : plan) after += tensor.bytes();
  if (after <= before) return "";
  std::vector<std::string> texts;
  for (const Change& change : grown(source, plan))
    if (texts.size() < kNamed) texts.push_back(text_of(change));
  return fmt::format("the output is larger than its source: {} -> {}; what grows most: {}", human_bytes(before),
                     human_bytes(after), fmt::join(texts, "; "));
}

}  // namespace bitloom
