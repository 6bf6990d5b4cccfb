#include "tokenize/text/unicode.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

#include <algorithm>

#include "base/error.h"
#include "tokenize/text/bert_classes.h"
#include "tokenize/text/unicode_age.h"

namespace bitloom {
namespace {

template <size_t n>
bool is_in(const CodeRange (&ranges)[n], char32_t c) {
  const auto* found = std::lower_bound(std::begin(ranges), std::end(ranges), c,
                                       [](const CodeRange& range, char32_t value) { return range.last < value; });
  return found != std::end(ranges) && found->first <= c;
}

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

bool between(utf8proc_category_t value, utf8proc_category_t first, utf8proc_category_t last) {
  return value >= first && value <= last;
}

utf8proc_option_t options(NormalForm form) {
  int flags = UTF8PROC_STABLE;
  if (form == NormalForm::kNfkc || form == NormalForm::kNfkd) flags |= UTF8PROC_COMPAT;
  flags |= form == NormalForm::kNfc || form == NormalForm::kNfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  return static_cast<utf8proc_option_t>(flags);
}

utf8proc_propval_t combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

// No decomposition of one character has more code points (U+FDFA has 18).
constexpr int kMaxParts = 32;

/// What a character that is a mark, or decomposes to marks alone, is normalized to; 0 parts for any other.
int marks_of(char32_t c, utf8proc_option_t flags, utf8proc_int32_t (&parts)[kMaxParts]) {
  const int decomposing = UTF8PROC_DECOMPOSE | (flags & UTF8PROC_COMPAT);
  int boundary = 0;
  const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, kMaxParts,
                                             static_cast<utf8proc_option_t>(decomposing), &boundary);
  return count > 0 && combining_class(parts[0]) != 0 ? static_cast<int>(count) : 0;
}

/// `text` with the marks of every run by their combining class, as normalization has them: the library alone takes time
/// quadratic in the length of an unsorted run.
std::string with_sorted_marks(std::string_view text, utf8proc_option_t flags) {
  std::string out;
  out.reserve(text.size());
  std::vector<std::pair<utf8proc_propval_t, char32_t>> marks;
  const auto flush = [&] {
    std::stable_sort(marks.begin(), marks.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [combining, c] : marks) append_utf8(out, c);
    marks.clear();
  };
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    utf8proc_int32_t parts[kMaxParts];
    const int count = marks_of(c, flags, parts);
    for (int part = 0; part < count; ++part)
      marks.emplace_back(combining_class(parts[part]), static_cast<char32_t>(parts[part]));
    if (count > 0) continue;
    flush();
    append_utf8(out, c);
  }
  flush();
  return out;
}

void append_normal_form(std::string& out, std::string_view unsorted, utf8proc_option_t flags) {
  const std::string text = with_sorted_marks(unsorted, flags);
  utf8proc_uint8_t* result = nullptr;
  const utf8proc_ssize_t length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                               static_cast<utf8proc_ssize_t>(text.size()), &result, flags);
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(result, std::free);
  if (length < 0) fail(ErrorKind::kFailed, "Unicode normalization failed: {}", utf8proc_errmsg(length));
  out.append(reinterpret_cast<const char*>(result), static_cast<size_t>(length));
}

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

// End of the run from `begin` of characters that normalization leaves alone (`stays`), or of the others.
size_t end_of_run(std::string_view text, size_t begin, bool stays) {
  for (size_t next = begin; begin < text.size(); begin = next) {
    const char32_t c = next_code_point(text, next);
    if ((c < 0x80 || is_in(kInertInNormalization, c)) != stays) break;
  }
  return begin;
}

// Length of the well-formed sequence at `position`, or 0; `maximal` gets the length of the longest prefix that could
// still have become one (at least 1).
size_t sequence_length(std::string_view bytes, size_t position, size_t& maximal) {
  const auto byte = [&](size_t i) {
    return position + i < bytes.size() ? static_cast<unsigned char>(bytes[position + i]) : 0u;
  };
  const unsigned lead = byte(0);
  maximal = 1;
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (; maximal < length; ++maximal) {
    const unsigned next = byte(maximal);
    if (next < (maximal == 1 ? low : 0x80u) || next > (maximal == 1 ? high : 0xBFu)) return 0;
  }
  return length;
}

}  // namespace

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

bool is_whitespace(char32_t c) {
  if (c < 0x80) return (c >= 9 && c <= 13) || c == ' ';
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_numeric(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  return between(category(c), UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO);
}

bool is_punctuation(char32_t c) {
  if (c < 0x80) return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  return (between(category(c), UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO) && !is_in(kNoPunctuation, c)) ||
         is_in(kOncePunctuation, c);
}

bool is_combining_mark(char32_t c) {
  if (c < 0x300) return false;
  return (between(category(c), UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME) && !is_in(kNoMarks, c)) ||
         is_in(kOnceMarks, c);
}

bool is_bert_control(char32_t c) { return is_in(kBertControls, c); }
bool is_bert_mark(char32_t c) { return c >= 0x300 && is_in(kBertMarks, c); }

std::string to_normal_form(std::string_view text, NormalForm form) {
  // Characters that stay also never join what stands before them, so only stretches of others need the library, each
  // with the ASCII character before it, which may take a combining mark.
  const utf8proc_option_t flags = options(form);
  std::string out;
  out.reserve(text.size());
  for (size_t done = 0; done < text.size();) {
    const size_t begin = end_of_run(text, done, true);
    const size_t end = end_of_run(text, begin, false);
    const bool joins = begin > done && end > begin && is_ascii(text[begin - 1]);
    const size_t stretch = joins ? begin - 1 : begin;
    out.append(text.substr(done, stretch - done));
    if (end > begin) append_normal_form(out, text.substr(stretch, end - stretch), flags);
    done = end;
  }
  return out;
}

std::string to_lower_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    if (c == 0x130) {  // the one unconditional mapping to two characters
      out.append("i\xCC\x87");
    } else {
      append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    }
  }
  return out;
}

std::string lossy_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t i = 0; i < bytes.size();) {
    size_t maximal = 0;
    const size_t length = sequence_length(bytes, i, maximal);
    if (length > 0) {
      out.append(bytes.substr(i, length));
    } else {
      out.append("\xEF\xBF\xBD");
    }
    i += length > 0 ? length : maximal;
  }
  return out;
}

}  // namespace bitloom
