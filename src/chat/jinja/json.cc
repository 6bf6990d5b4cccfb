// json.dumps: the filter tojson.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "chat/jinja/builtins.h"
#include "chat/jinja/text.h"

namespace bitloom::jinja {
namespace {

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  void write(const Value& value);
  std::string text() && { return std::move(out_); }

 private:
  void write_text(const std::string& text);
  void write_number(const Value& value);
  /// "[", items on lines of their own where there is an indent, "]".
  template <typename Items, typename Write>
  void write_items(const Items& items, const char* brackets, Write write);
  void new_line();

  const JsonStyle& style_;
  std::string out_;
  size_t level_ = 0;
};

void JsonWriter::new_line() {
  if (!style_.indent) return;
  out_ += '\n';
  for (size_t i = 0; i < level_; ++i) out_ += *style_.indent;
}

void JsonWriter::write_text(const std::string& text) {
  constexpr std::string_view kPlain = "\"\\\b\f\n\r\t", kLetters = "\"\\bfnrt";
  out_ += '"';
  for (const char c : text) {
    if (const size_t at = kPlain.find(c); at != std::string_view::npos) {
      out_ += '\\';
      out_ += kLetters[at];
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out_ += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out_ += c;
    }
  }
  out_ += '"';
}

void JsonWriter::write_number(const Value& value) {
  const double* real = value.as<double>();
  if (real == nullptr || std::isfinite(*real)) {
    out_ += text_of(value);
  } else {
    out_ += std::isnan(*real) ? "NaN" : *real > 0 ? "Infinity" : "-Infinity";
  }
}

template <typename Items, typename Write>
void JsonWriter::write_items(const Items& items, const char* brackets, Write write) {
  out_ += brackets[0];
  ++level_;
  bool begun = false;
  for (const auto& item : items) {
    if (begun) out_ += style_.item_separator;
    begun = true;
    new_line();
    write(item);
    check_text_size(out_.size());
  }
  --level_;
  if (begun) new_line();
  out_ += brackets[1];
}

void JsonWriter::write(const Value& value) {
  if (const std::string* text = value.as<std::string>()) return write_text(*text);
  if (value.is<None>()) return (void)(out_ += "null");
  if (const bool* flag = value.as<bool>()) return (void)(out_ += *flag ? "true" : "false");
  if (value.number()) return write_number(value);
  const SequencePtr* sequence = value.as<SequencePtr>();
  if (sequence != nullptr && (*sequence)->kind <= SequenceKind::kTuple) {
    return write_items((*sequence)->items, "[]", [this](const Value& item) { write(item); });
  }
  const DictPtr* dict = value.as<DictPtr>();
  if (dict == nullptr) refuse("'tojson' takes no value of type {}", type_name(value));
  auto items = (*dict)->items;
  if (style_.sorted) std::sort(items.begin(), items.end(), [](auto& a, auto& b) { return a.first < b.first; });
  write_items(items, "{}", [this](const auto& item) {
    write_text(item.first);
    out_ += style_.key_separator;
    write(item.second);
  });
}

}  // namespace

std::string json_text(const Value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  writer.write(value);
  return std::move(writer).text();
}

}  // namespace bitloom::jinja
