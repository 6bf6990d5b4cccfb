#pragma once
// Options behind '-' in the text of a storage or of a search, as tables: a word, or a prefix with a number behind it.
// One table serves reading, writing and the messages, so they cannot disagree.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {

/// `slot` is what an option sets; two options of one slot in a text are a contradiction.
template <typename T>
struct OptionWord {
  std::string_view text;
  int slot;
  void (*set)(T& value);
};

template <typename T>
struct OptionPrefix {
  std::string_view text;
  int slot;
  bool (*set)(std::string_view rest, T& value);  // false: `rest` is not what the shape says
  std::string_view shape;                        // for messages
};

/// For OptionWord::set: a member gets a value.
template <auto kMember, auto kValue, typename T>
void assign(T& value) {
  value.*kMember = kValue;
}

[[noreturn]] inline void unknown_option(std::string_view option, std::string_view whole,
                                        const std::vector<std::string>& known) {
  misuse("unknown option \"-{}\" in \"{}\"; options are -{}{}", option, whole, fmt::join(known, " -"),
         did_you_mean(option, known));
}

/// Reads the options of one text.
template <typename T>
class OptionReader {
 public:
  /// `whole`, which must outlive the reader, is quoted in messages; `known` is where they look for what was meant.
  OptionReader(std::string_view whole, std::span<const OptionWord<T>> words, std::span<const OptionPrefix<T>> prefixes,
               std::vector<std::string> known)
      : whole_(whole), words_(words), prefixes_(prefixes), known_(std::move(known)) {}

  /// Sets what `option` says; false when it is none of the tables'. Error(kUsage) for a number that is none, or a slot
  /// that is taken.
  bool read(std::string_view option, T& value) {
    for (const OptionWord<T>& word : words_) {
      if (option != word.text) continue;
      take(word.slot, option);
      return word.set(value), true;
    }
    for (const OptionPrefix<T>& prefix : prefixes_) {
      if (!option.starts_with(prefix.text)) continue;
      if (!prefix.set(option.substr(prefix.text.size()), value)) {
        misuse("\"-{}\" in \"{}\" should be -{}{}", option, whole_, prefix.shape, did_you_mean(option, known_));
      }
      return take(prefix.slot, option), true;
    }
    return false;
  }

  /// Error(kUsage), naming `option`, when it was taken before.
  void take(int slot, std::string_view option) {
    if (std::find(taken_.begin(), taken_.end(), slot) != taken_.end()) {
      misuse("\"-{}\" in \"{}\" repeats or contradicts an earlier option", option, whole_);
    }
    taken_.push_back(slot);
  }

 private:
  std::string_view whole_;
  std::span<const OptionWord<T>> words_;
  std::span<const OptionPrefix<T>> prefixes_;
  std::vector<std::string> known_;
  std::vector<int> taken_;
};

/// "-word" that turns `base` into `value` in one slot: it changes something of the base and agrees with the value; or
/// "".
template <typename T>
std::string word_text(std::span<const OptionWord<T>> words, int slot, const T& base, const T& value) {
  for (const OptionWord<T>& word : words) {
    if (word.slot != slot) continue;
    T changed = base, same = value;
    word.set(changed);
    word.set(same);
    if (same == value && changed != base) return fmt::format("-{}", word.text);
  }
  return "";
}

}  // namespace bitloom
