#include "tokenize/bpe/merge.h"

#include <algorithm>
#include <limits>

namespace bitloom {
namespace {

constexpr size_t kShort = 24;
constexpr uint32_t kNoRank = std::numeric_limits<uint32_t>::max();
constexpr uint32_t kEnd = std::numeric_limits<uint32_t>::max();
constexpr int32_t kRemoved = -1;

using Candidate = MergeScratch::Candidate;

bool later(const Candidate& a, const Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

void push(const MergeTable& table, const std::vector<int32_t>& symbols, uint32_t left, uint32_t right,
          std::vector<Candidate>& heap) {
  const MergeTable::Entry* entry = table.find(symbols[left], symbols[right]);
  if (entry == nullptr) return;
  heap.push_back({entry->rank, left, entry->merged});
  std::push_heap(heap.begin(), heap.end(), later);
}

// Links every symbol to its neighbours and collects the pairs that merge.
void start(const MergeTable& table, const std::vector<int32_t>& symbols, MergeScratch& s) {
  const auto n = static_cast<uint32_t>(symbols.size());
  s.previous.resize(n);
  s.next.resize(n);
  s.heap.clear();
  for (uint32_t i = 0; i < n; ++i) {
    s.previous[i] = i == 0 ? kEnd : i - 1;
    s.next[i] = i + 1 == n ? kEnd : i + 1;
    if (i + 1 == n) continue;
    if (const auto* entry = table.find(symbols[i], symbols[i + 1])) s.heap.push_back({entry->rank, i, entry->merged});
  }
  std::make_heap(s.heap.begin(), s.heap.end(), later);
}

}  // namespace

void MergeTable::set(int32_t left, int32_t right, uint32_t rank, int32_t merged) {
  if (2 * (used_ + 1) > entries_.size()) grow();
  const uint64_t pair = key(left, right);
  size_t i = slot(pair);
  while (entries_[i].pair != pair && entries_[i].pair != kNone) i = (i + 1) & (entries_.size() - 1);
  if (entries_[i].pair == kNone) ++used_;
  entries_[i] = {pair, rank, merged};
}

void MergeTable::grow() {
  const std::vector<Entry> old = std::move(entries_);
  entries_.assign(old.empty() ? 64 : 2 * old.size(), Entry{});
  for (const Entry& entry : old) {
    if (entry.pair == kNone) continue;
    size_t i = slot(entry.pair);
    while (entries_[i].pair != kNone) i = (i + 1) & (entries_.size() - 1);
    entries_[i] = entry;
  }
}

void merge_symbols(const MergeTable& table, std::vector<int32_t>& symbols, MergeScratch& scratch) {
  if (symbols.size() <= kShort) return merge_symbols_by_scanning(table, symbols, scratch);
  merge_symbols_by_heap(table, symbols, scratch);
}

void merge_symbols_by_scanning(const MergeTable& table, std::vector<int32_t>& symbols, MergeScratch& s) {
  if (symbols.size() < 2) return;
  s.ranks.assign(symbols.size() - 1, kNoRank);
  s.merged.assign(symbols.size() - 1, kRemoved);
  const auto look_up = [&](size_t i) {
    const MergeTable::Entry* entry = table.find(symbols[i], symbols[i + 1]);
    s.ranks[i] = entry ? entry->rank : kNoRank;
    s.merged[i] = entry ? entry->merged : kRemoved;
  };
  for (size_t i = 0; i + 1 < symbols.size(); ++i) look_up(i);
  while (!s.ranks.empty()) {
    const auto best = std::min_element(s.ranks.begin(), s.ranks.end());
    if (*best == kNoRank) return;
    const auto offset = best - s.ranks.begin();
    symbols[static_cast<size_t>(offset)] = s.merged[static_cast<size_t>(offset)];
    symbols.erase(symbols.begin() + offset + 1);
    s.ranks.erase(best);
    s.merged.erase(s.merged.begin() + offset);
    if (offset > 0) look_up(static_cast<size_t>(offset) - 1);
    if (static_cast<size_t>(offset) < s.ranks.size()) look_up(static_cast<size_t>(offset));
  }
}

void merge_symbols_by_heap(const MergeTable& table, std::vector<int32_t>& symbols, MergeScratch& s) {
  start(table, symbols, s);
  while (!s.heap.empty()) {
    std::pop_heap(s.heap.begin(), s.heap.end(), later);
    const Candidate top = s.heap.back();
    s.heap.pop_back();
    if (symbols[top.position] == kRemoved || s.next[top.position] == kEnd) continue;
    const uint32_t right = s.next[top.position];
    // Either symbol may have been merged since the candidate was noted.
    const MergeTable::Entry* entry = table.find(symbols[top.position], symbols[right]);
    if (entry == nullptr || entry->merged != top.merged) continue;
    symbols[top.position] = top.merged;
    symbols[right] = kRemoved;
    s.next[top.position] = s.next[right];
    if (s.next[right] != kEnd) s.previous[s.next[right]] = top.position;
    if (s.previous[top.position] != kEnd) push(table, symbols, s.previous[top.position], top.position, s.heap);
    if (s.next[top.position] != kEnd) push(table, symbols, top.position, s.next[top.position], s.heap);
  }
  symbols.erase(std::remove(symbols.begin(), symbols.end(), kRemoved), symbols.end());
}

}  // namespace bitloom
