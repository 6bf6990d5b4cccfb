#pragma once
// Which sequence holds which pages of keys and values, and which pages begin a text that was seen before.
//
// Goals: a sequence gets all the pages it can ever need before it begins, so that none runs out in the middle;
// sequences that begin alike share the full pages of that beginning; pages that nobody holds are kept as long as there
// are others. Non-goals: sharing parts of pages; taking pages from a sequence that runs.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace bitloom {

class PagePool {
 public:
  PagePool(int64_t pages, int64_t page_rows);

  /// Pages of one sequence, in the order of its positions.
  struct Lease {
    std::vector<int64_t> pages;
    int64_t shared_rows = 0;  // positions whose keys and values are there already
    int64_t published = 0;    // pages that others may share
  };

  /// Pages for a sequence of at most `rows` positions that begins with `prompt`, whose last token is never shared: its
  /// logits are still to be computed. nullopt when too few are free now. `rows` at most rows().
  std::optional<Lease> lease(std::span<const int32_t> prompt, int64_t rows);
  /// Tokens of `prompt` that lease() would find.
  int64_t shared_rows(std::span<const int32_t> prompt) const;
  /// The keys and values of `tokens`, the sequence's first ones, are there: full pages of them can be shared from now
  /// on.
  void publish(Lease& lease, std::span<const int32_t> tokens);
  void release(Lease& lease);

  int64_t rows() const { return static_cast<int64_t>(pages_.size()) * page_rows_; }
  int64_t pages() const { return static_cast<int64_t>(pages_.size()); }
  /// Pages that sequences hold.
  int64_t held() const { return held_; }

 private:
  static constexpr int64_t kNone = -1;
  /// What a shared page holds: its tokens, after those of the page before. That page is kept as long as this one, so
  /// its number stands for the whole beginning.
  using Content = std::pair<int64_t, std::vector<int32_t>>;
  struct Page {
    int64_t holders = 0;    // sequences
    int64_t followers = 0;  // shared pages whose page before this is
    int64_t last_held = 0;
    std::map<Content, int64_t>::iterator content;  // valid when shared
    bool shared = false;
  };

  std::vector<int64_t> find(std::span<const int32_t> prompt) const;
  void hold(int64_t page);
  void let_go(int64_t page);
  bool make_free();
  int64_t take(int64_t after);

  int64_t page_rows_, held_ = 0, clock_ = 0;
  std::vector<Page> pages_;
  std::vector<bool> free_;
  int64_t free_count_;
  std::map<Content, int64_t> contents_;
};

}  // namespace bitloom
