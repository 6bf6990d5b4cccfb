#include "runtime/batch/page_pool.h"

#include <algorithm>
#include <cassert>

namespace bitloom {

PagePool::PagePool(int64_t pages, int64_t page_rows)
    : page_rows_(page_rows),
      pages_(static_cast<size_t>(pages)),
      free_(static_cast<size_t>(pages), true),
      free_count_(pages) {}

/// The shared pages that `prompt` begins with, its last token left out.
std::vector<int64_t> PagePool::find(std::span<const int32_t> prompt) const {
  std::vector<int64_t> found;
  Content content{kNone, {}};
  const auto rows = static_cast<size_t>(page_rows_);
  for (size_t begin = 0; begin + rows < prompt.size(); begin += rows) {
    const std::span<const int32_t> tokens = prompt.subspan(begin, rows);
    content.second.assign(tokens.begin(), tokens.end());
    const auto at = contents_.find(content);
    if (at == contents_.end()) break;
    found.push_back(at->second);
    content.first = at->second;
  }
  return found;
}

int64_t PagePool::shared_rows(std::span<const int32_t> prompt) const {
  return static_cast<int64_t>(find(prompt).size()) * page_rows_;
}

void PagePool::hold(int64_t page) {
  if (pages_[static_cast<size_t>(page)].holders++ == 0) ++held_;
}

void PagePool::let_go(int64_t page) {
  Page& left = pages_[static_cast<size_t>(page)];
  assert(left.holders > 0);
  if (--left.holders > 0) return;
  --held_;
  left.last_held = ++clock_;
  if (left.shared) return;
  free_[static_cast<size_t>(page)] = true;
  ++free_count_;
}

/// Of the shared pages that nobody holds and no other follows, the one left longest ago.
bool PagePool::make_free() {
  int64_t oldest = kNone;
  for (int64_t p = 0; p < pages(); ++p) {
    const Page& page = pages_[static_cast<size_t>(p)];
    if (!page.shared || page.holders > 0 || page.followers > 0) continue;
    if (oldest == kNone || page.last_held < pages_[static_cast<size_t>(oldest)].last_held) oldest = p;
  }
  if (oldest == kNone) return false;
  Page& page = pages_[static_cast<size_t>(oldest)];
  if (const int64_t before = page.content->first.first; before != kNone)
    --pages_[static_cast<size_t>(before)].followers;
  contents_.erase(page.content);
  page.shared = false;
  free_[static_cast<size_t>(oldest)] = true;
  ++free_count_;
  return true;
}

/// A free page, the neighbour of `after` where that one is free.
int64_t PagePool::take(int64_t after) {
  auto at = free_.begin() + std::min(after + 1, pages());
  if (at == free_.end() || !*at) at = std::find(free_.begin(), free_.end(), true);
  assert(at != free_.end());
  *at = false;
  --free_count_;
  return at - free_.begin();
}

std::optional<PagePool::Lease> PagePool::lease(std::span<const int32_t> prompt, int64_t rows) {
  assert(rows <= this->rows());
  Lease lease;
  lease.pages = find(prompt);
  lease.published = static_cast<int64_t>(lease.pages.size());
  lease.shared_rows = lease.published * page_rows_;
  for (const int64_t page : lease.pages) hold(page);
  const int64_t needed = std::max<int64_t>(0, (rows + page_rows_ - 1) / page_rows_ - lease.published);
  if (needed > pages() - held_) {
    release(lease);
    return std::nullopt;
  }
  while (free_count_ < needed) make_free();
  for (int64_t i = 0; i < needed; ++i) {
    lease.pages.push_back(take(lease.pages.empty() ? kNone : lease.pages.back()));
    hold(lease.pages.back());
  }
  return lease;
}

void PagePool::publish(Lease& lease, std::span<const int32_t> tokens) {
  while ((lease.published + 1) * page_rows_ <= static_cast<int64_t>(tokens.size())) {
    const int64_t at = lease.published, page = lease.pages[static_cast<size_t>(at)];
    const int64_t before = at == 0 ? kNone : lease.pages[static_cast<size_t>(at - 1)];
    if (before != kNone && !pages_[static_cast<size_t>(before)].shared) return;  // another page has its content
    const std::span<const int32_t> own =
        tokens.subspan(static_cast<size_t>(at * page_rows_), static_cast<size_t>(page_rows_));
    const auto [place, is_new] = contents_.emplace(Content{before, {own.begin(), own.end()}}, page);
    if (!is_new) return;
    Page& shared = pages_[static_cast<size_t>(page)];
    shared.content = place, shared.shared = true;
    if (before != kNone) ++pages_[static_cast<size_t>(before)].followers;
    ++lease.published;
  }
}

void PagePool::release(Lease& lease) {
  // The last first: of pages left at the same time, those that begin texts are kept longer.
  for (auto page = lease.pages.rbegin(); page != lease.pages.rend(); ++page) let_go(*page);
  lease = {};
}

}  // namespace bitloom
