// The four kinds of SentencePiece models: how a normalized text is cut into pieces.
#include <algorithm>
#include <queue>

#include "base/error.h"
#include "tokenize/sentencepiece/spm_processor.h"

namespace bitloom {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";
constexpr float kUnknownPenalty = 10;
constexpr size_t kMostBytes = 0x7FFFFFF0u;

/// The best path that ends at a byte.
struct PathEnd {
  float score = 0;
  int32_t begin = -1;  // of its last piece; -1: no path ends here
  int32_t id = -1;
};

/// Characters and merged ones, linked; a merged one's right part is empty.
struct Symbol {
  std::string_view text;
  int32_t before = -1, after = -1;
  bool kept = false;  // never merged
};

struct Merge {
  float score;
  int32_t left, right;
  size_t length;

  /// The greatest score first, of equals the leftmost.
  bool operator<(const Merge& other) const {
    return score < other.score || (score == other.score && left > other.left);
  }
};

std::string_view joined(const Symbol& left, const Symbol& right) {
  return {left.text.data(), left.text.size() + right.text.size()};
}

}  // namespace

/// Bytes of a user-defined piece, else of a character.
size_t SpmProcessor::symbol_length(std::string_view text, bool& kept) const {
  const size_t length = longest_prefix(user_trie_, text);
  kept = length > 0;
  return kept ? length : first_character(text);
}

// Viterbi (Kudo, 2018): the path of the greatest sum of scores, summed in double and kept in fp32, of equals the one
// found first; a character that is no piece is unknown, at least - 10. A user-defined piece is worth more than any
// path.
SpmPath SpmProcessor::unigram(std::string_view text) const {
  if (text.size() > kMostBytes)
    fail(ErrorKind::kFailed, "{}: a text of {} bytes is too long", model_.origin, text.size());
  std::vector<PathEnd> ends(text.size() + 1);
  for (size_t begin = 0, next = 0; begin < text.size(); begin = next) {
    next = begin + first_character(text.substr(begin));
    const float before = ends[begin].score;
    const auto offer = [&](size_t end, int32_t id, double score) {
      PathEnd& best = ends[end];
      if (best.begin >= 0 && !(score > static_cast<double>(best.score))) return;
      best = {static_cast<float>(score), static_cast<int32_t>(begin), id};
    };
    bool single = false;
    trie_.prefixes(text.substr(begin), [&](size_t length, int32_t id) {
      if (unused(id)) return;
      const double score = user_defined(id) ? static_cast<double>(static_cast<float>(length) * greatest_) - 0.1
                                            : static_cast<double>(model_.pieces[static_cast<size_t>(id)].score);
      offer(begin + length, id, score + static_cast<double>(before));
      single = single || begin + length == next;
    });
    if (!single) offer(next, unknown_, static_cast<double>(least_ - kUnknownPenalty + before));
  }
  SpmPath path;
  for (size_t end = text.size(); end > 0;) {
    const auto begin = static_cast<size_t>(ends[end].begin);
    path.emplace_back(text.substr(begin, end - begin), ends[end].id);
    end = begin;
  }
  std::reverse(path.begin(), path.end());
  return path;
}

// Merges the neighbours whose union is the piece of the greatest score, until none is a piece. An unused piece takes
// part in merges, and is taken apart at the end as it was made.
SpmPath SpmProcessor::bpe(std::string_view text) const {
  if (text.size() > kMostBytes)
    fail(ErrorKind::kFailed, "{}: a text of {} bytes is too long", model_.origin, text.size());
  std::vector<Symbol> symbols;
  while (!text.empty()) {
    Symbol symbol;
    symbol.text = text.substr(0, symbol_length(text, symbol.kept));
    text.remove_prefix(symbol.text.size());
    const auto index = static_cast<int32_t>(symbols.size());
    symbol.before = index - 1;
    symbol.after = text.empty() ? -1 : index + 1;
    symbols.push_back(symbol);
  }
  const auto at = [&symbols](int32_t index) -> Symbol& { return symbols[static_cast<size_t>(index)]; };

  std::priority_queue<Merge> merges;
  std::unordered_map<std::string_view, std::pair<std::string_view, std::string_view>> parts;  // of unused pieces
  const auto offer = [&](int32_t left, int32_t right) {
    if (left < 0 || right < 0 || at(left).kept || at(right).kept) return;
    const std::string_view both = joined(at(left), at(right));
    if (both.size() > longest_) return;
    const auto found = pieces_.find(both);
    if (found == pieces_.end()) return;
    merges.push({model_.pieces[static_cast<size_t>(found->second)].score, left, right, both.size()});
    if (unused(found->second)) parts[both] = {at(left).text, at(right).text};
  };
  for (int32_t i = 1; i < static_cast<int32_t>(symbols.size()); ++i) offer(i - 1, i);
  while (!merges.empty()) {
    const Merge merge = merges.top();
    merges.pop();
    Symbol &left = at(merge.left), &right = at(merge.right);
    if (left.text.empty() || right.text.empty() || joined(left, right).size() != merge.length) continue;
    left.text = joined(left, right);
    right.text = {};
    left.after = right.after;
    if (left.after >= 0) at(left.after).before = merge.left;
    offer(left.before, merge.left);
    offer(merge.left, left.after);
  }

  SpmPath path;
  std::vector<std::string_view> open;  // what is still to be given out, the next one last
  for (int32_t i = symbols.empty() ? -1 : 0; i >= 0; i = at(i).after) {
    open.push_back(at(i).text);
    while (!open.empty()) {
      const std::string_view piece = open.back();
      open.pop_back();
      const int32_t id = id_of(piece);
      const auto made = parts.find(piece);
      if (!unused(id) || made == parts.end()) {
        path.emplace_back(piece, id);
      } else {
        open.push_back(made->second.second);
        open.push_back(made->second.first);
      }
    }
  }
  return path;
}

SpmPath SpmProcessor::words(std::string_view text) const {
  SpmPath path;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(kSpace, begin + 1), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    path.emplace_back(word, id_of(word));
    begin = end;
  }
  return path;
}

SpmPath SpmProcessor::characters(std::string_view text) const {
  SpmPath path;
  for (bool kept = false; !text.empty();) {
    const std::string_view symbol = text.substr(0, symbol_length(text, kept));
    path.emplace_back(symbol, id_of(symbol));
    text.remove_prefix(symbol.size());
  }
  return path;
}

}  // namespace bitloom
