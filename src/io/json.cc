#include "io/json.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstddef>
#include <iterator>
#include <limits>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"

namespace bitloom {
namespace {

constexpr size_t kMaxDepth = 100;
constexpr size_t kMaxJsonBytes = size_t{512} << 20;

/// Input iterator over text that tells an outsider how far the parser has read.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** shared) : at_(at), shared_(shared) {}
  const char& operator*() const { return *at_; }
  CountingIterator& operator++() {
    *shared_ = ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** shared_;
};

/// Python's words for numbers that are not finite, which JSON lacks. Each has a number of the same length in its place
/// while the text is parsed, so that positions stay what they are.
struct Word {
  std::string_view text, number;
  double value;
};
constexpr Word kWords[] = {{"NaN", "0e0", std::numeric_limits<double>::quiet_NaN()},
                           {"Infinity", "0e000000", std::numeric_limits<double>::infinity()}};

/// A text without such words, and where which of them stood, in order.
struct PlainText {
  std::string text;
  std::vector<std::pair<size_t, double>> words;  // first byte, value
};

bool is_word_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.'; }

/// The word that stands at `at` alone, or null.
const Word* word_at(std::string_view text, size_t at) {
  if (at > 0 && is_word_char(text[at - 1])) return nullptr;
  for (const Word& word : kWords) {
    if (text.substr(at, word.text.size()) != word.text) continue;
    const size_t end = at + word.text.size();
    return end < text.size() && is_word_char(text[end]) ? nullptr : &word;
  }
  return nullptr;
}

PlainText without_words(std::string_view text) {
  PlainText plain;
  bool quoted = false;
  for (size_t at = 0; at < text.size(); ++at) {
    if (quoted && text[at] == '\\') {
      ++at;
    } else if (text[at] == '"') {
      quoted = !quoted;
    } else if (!quoted && (text[at] == 'N' || text[at] == 'I')) {
      const Word* word = word_at(text, at);
      if (word == nullptr) continue;
      if (plain.words.empty()) plain.text = text;
      plain.text.replace(at, word->text.size(), word->number);
      plain.words.emplace_back(at, word->value);
      at += word->text.size() - 1;
    }
  }
  return plain;
}

/// Builds the value from the parser's events. nlohmann::json::parse would keep the last of two equal keys in silence.
class Builder {
 public:
  Builder(std::string_view text, const std::string& origin)
      : plain_(without_words(text)),
        text_(plain_.words.empty() ? text : std::string_view(plain_.text)),
        origin_(origin),
        at_(text_.data()) {}

  Json run() {
    const CountingIterator begin(text_.data(), &at_), end(text_.data() + text_.size(), &at_);
    Json::sax_parse(begin, end, this);
    return std::move(root_);
  }

  // The events, by the names that nlohmann::json calls.
  bool null() { return put(nullptr); }
  bool boolean(bool value) { return put(value); }
  bool number_integer(Json::number_integer_t value) { return put(value); }
  bool number_unsigned(Json::number_unsigned_t value) { return put(value); }
  bool number_float(Json::number_float_t value, const std::string& text) {
    // Events come in the order of the text: the next word that lies before the parser is this number.
    const bool is_word =
        next_word_ < plain_.words.size() && plain_.words[next_word_].first < static_cast<size_t>(at_ - text_.data());
    if (is_word) value = plain_.words[next_word_++].second * (text.starts_with('-') ? -1.0 : 1.0);
    return put(value);
  }
  bool string(std::string& value) { return put(std::move(value)); }
  bool binary(Json::binary_t& value) { return put(std::move(value)); }
  bool start_object(size_t) { return open(Json::object()); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    auto& object = stack_.back()->get_ref<Json::object_t&>();
    const auto [slot, is_new] = object.emplace(std::move(name), nullptr);
    if (!is_new) refuse("{}: duplicate key \"{}\" before byte {}", origin_, slot->first, at_ - text_.data());
    member_ = &slot->second;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const Json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 3: syntax error while ..."
    const std::string what = error.what();
    const size_t bracket = what.find("] ");
    refuse("{}: not valid JSON at byte {}: {}", origin_, position,
           bracket == std::string::npos ? what : what.substr(bracket + 2));
  }

 private:
  Json* place(Json&& value) {
    if (stack_.empty()) return &(root_ = std::move(value));
    if (stack_.back()->is_object()) return &(*member_ = std::move(value));
    return &stack_.back()->get_ref<Json::array_t&>().emplace_back(std::move(value));
  }
  bool put(Json&& value) {
    place(std::move(value));
    return true;
  }
  bool open(Json&& value) {
    if (stack_.size() == kMaxDepth) {
      refuse("{}: nested deeper than {} levels at byte {}", origin_, kMaxDepth, at_ - text_.data());
    }
    stack_.push_back(place(std::move(value)));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  PlainText plain_;
  size_t next_word_ = 0;
  std::string_view text_;
  const std::string& origin_;
  const char* at_;
  Json root_;
  Json* member_ = nullptr;
  // Containers being filled. Pointers stay valid: while a child is open nothing is added to its parent.
  std::vector<Json*> stack_;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& origin) {
  if (text.size() > kMaxJsonBytes) {
    refuse("{}: {} bytes of JSON are more than the {} that are read", origin, text.size(), kMaxJsonBytes);
  }
  return Builder(text, origin).run();
}

Json read_json(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && static_cast<size_t>(status.st_size) > kMaxJsonBytes) {
    refuse("{}: {} bytes of JSON are more than the {} that are read", path, status.st_size, kMaxJsonBytes);
  }
  return parse_json(read_text(path), path);
}

std::string dump_json(const Json& value) {
  try {
    return value.dump(2) + "\n";
  } catch (const Json::exception& error) {
    fail(ErrorKind::kFailed, "cannot write as JSON: {}", error.what());
  }
}

std::string read_text(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) refuse("{}: cannot open: {}", path, std::generic_category().message(errno));
  std::string text;
  std::vector<char> piece(size_t{1} << 16);
  ssize_t count = 0;
  while ((count = ::read(fd, piece.data(), piece.size())) != 0) {
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) break;
    text.append(piece.data(), static_cast<size_t>(count));
  }
  const int error = errno;
  ::close(fd);
  if (count < 0) refuse("{}: cannot read: {}", path, std::generic_category().message(error));
  return text;
}

}  // namespace bitloom
