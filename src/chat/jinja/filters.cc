// Filters: "value | NAME".
#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/text/text.h"
#include "chat/jinja/builtins.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/text.h"

namespace bitloom::jinja {
namespace {

template <std::string (*convert)(std::string_view)>
Value convert_filter(const Invocation& call) {
  return convert(text_of(call.subject));
}

/// Jinja's own title case: words begin after white space, hyphens and opening brackets.
std::string title_words(std::string_view text) {
  std::string out, word;
  const auto end_word = [&] {
    const std::vector<std::string_view> characters = split_characters(word);
    if (!characters.empty()) out += upper_case(characters[0]) + lower_case(word.substr(characters[0].size()));
    word.clear();
  };
  for (const std::string_view character : split_characters(text)) {
    const bool separates =
        !strip(character, Side::kBoth).size() || std::string_view("-({[<").find(character) != std::string_view::npos;
    if (separates) end_word();
    (separates ? out : word) += character;
  }
  end_word();
  return out;
}

Value trim(const Invocation& call) {
  const std::string text = text_of(call.subject);
  return std::string(strip(text, Side::kBoth, call.optional_text(0)));
}

Value replace(const Invocation& call) {
  const bool all = !call.given(2) || call.value(2).is<None>();
  return replace_text(text_of(call.subject), text_of(call.value(0)), text_of(call.value(1)),
                      all ? -1 : call.integer(2, -1));
}

Value default_value(const Invocation& call) {
  const bool absent = call.subject.is<Undefined>() || (call.flag(1) && !truth(call.subject));
  if (!absent) return call.subject;
  return call.given(0) ? call.value(0) : Value(std::string());
}

Value length(const Invocation& call) {
  if (const std::string* text = call.subject.as<std::string>()) return count_characters(*text);
  if (const DictPtr* dict = call.subject.as<DictPtr>()) return static_cast<int64_t>((*dict)->items.size());
  if (call.subject.is<Undefined>()) return int64_t{0};
  const SequencePtr* sequence = call.subject.as<SequencePtr>();
  if (sequence == nullptr || (*sequence)->kind == SequenceKind::kIterator) {
    refuse("a value of type {} has no length", type_name(call.subject));
  }
  return static_cast<int64_t>((*sequence)->items.size());
}

Value first(const Invocation& call) {
  const SequencePtr items = items_of(call.subject);
  return items->items.empty() ? Value(Undefined{"there is no first item"}) : items->items.front();
}

Value last(const Invocation& call) {
  const SequencePtr* sequence = call.subject.as<SequencePtr>();
  if (sequence != nullptr && (*sequence)->kind == SequenceKind::kIterator) refuse("an iterator has no last item");
  const SequencePtr items = items_of(call.subject);
  return items->items.empty() ? Value(Undefined{"there is no last item"}) : items->items.back();
}

Value list(const Invocation& call) { return make_sequence(items_of(call.subject)->items); }

/// Key and value of each pair of a dict, in order.
Value items(const Invocation& call) {
  if (call.subject.is<Undefined>()) return make_sequence({}, SequenceKind::kIterator);
  const DictPtr* dict = call.subject.as<DictPtr>();
  if (dict == nullptr) refuse("'items' takes a dict, not a value of type {}", type_name(call.subject));
  std::vector<Value> pairs;
  for (const auto& [key, value] : (*dict)->items) pairs.push_back(make_sequence({key, value}, SequenceKind::kTuple));
  return make_sequence(std::move(pairs), SequenceKind::kIterator);
}

/// A text as int(text), else int(float(text)), else the default.
Value integer(const Invocation& call) {
  const Value otherwise = call.given(0) ? call.value(0) : Value(int64_t{0});
  if (const auto whole = call.subject.integer()) return *whole;
  if (call.subject.is<Undefined>()) refuse("'int' of an undefined value: {}", call.subject.as<Undefined>()->what);
  std::optional<double> real = call.subject.number();
  if (const std::string* text = call.subject.as<std::string>()) {
    std::string_view digits = strip(*text, Side::kBoth);
    if (digits.find('_') != std::string_view::npos) refuse("'int' of '{}' is not supported", *text);
    if (digits.size() > 1 && digits[0] == '+' && digits[1] != '-') digits.remove_prefix(1);
    if (const auto whole = parse_number<int64_t>(digits)) return *whole;
    real = parse_number<double>(digits);
  }
  if (!real || !std::isfinite(*real)) return otherwise;
  if (std::abs(*real) >= 9.2e18) refuse("'int' of {} exceeds 64-bit integers", *real);
  return static_cast<int64_t>(*real);
}

/// "a.b.0" step by step.
Value attribute_of(const Value& item, const Value& path) {
  if (!path.is<std::string>()) return subscript(item, path);
  Value value = item;
  for (const std::string& step : split(*path.as<std::string>(), '.')) {
    const bool number = !step.empty() && step.find_first_not_of("0123456789") == std::string::npos;
    const auto index = number ? parse_number<int64_t>(step) : std::nullopt;
    value = subscript(value, index ? Value(*index) : Value(step));
  }
  return value;
}

Value join(const Invocation& call) {
  std::string out;
  const std::string separator = call.given(0) ? text_of(call.value(0)) : "";
  bool begun = false;
  const SequencePtr items = items_of(call.subject);
  for (const Value& item : items->items) {
    if (begun) out += separator;
    begun = true;
    out += text_of(call.given(1) && !call.value(1).is<None>() ? attribute_of(item, call.value(1)) : item);
    check_text_size(out.size());
  }
  return out;
}

/// The arguments after the first `count`.
Arguments after(const Arguments& arguments, size_t count) {
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin(), rest.positional.begin() + static_cast<std::ptrdiff_t>(count));
  return rest;
}

const std::string& name_at(const Invocation& call, size_t place) {
  const std::string* name = call.arguments.positional[place].as<std::string>();
  if (name == nullptr)
    refuse("'{}' takes a name, not a value of type {}", call.row.name, type_name(call.arguments.positional[place]));
  return *name;
}

/// map(attribute=PATH, default=VALUE)
Value map_attribute(const Invocation& call) {
  const Value *path = nullptr, *otherwise = nullptr;
  for (const auto& [name, value] : call.arguments.named) {
    if (name != "attribute" && name != "default") refuse("'map' takes no '{}' here", name);
    (name == "attribute" ? path : otherwise) = &value;
  }
  if (path == nullptr) refuse("'map' needs a filter's name or attribute=...");
  std::vector<Value> mapped;
  const SequencePtr items = items_of(call.subject);
  for (const Value& item : items->items) {
    call.runtime.spend(1);
    mapped.push_back(attribute_of(item, *path));
    if (otherwise != nullptr && mapped.back().is<Undefined>()) mapped.back() = *otherwise;
  }
  return make_sequence(std::move(mapped), SequenceKind::kIterator);
}

/// map(FILTER, its arguments...)
Value map(const Invocation& call) {
  if (call.arguments.positional.empty()) return map_attribute(call);
  const Arguments arguments = after(call.arguments, 1);
  std::vector<Value> mapped;
  const SequencePtr items = items_of(call.subject);
  for (const Value& item : items->items) {
    call.runtime.spend(1);
    mapped.push_back(apply_filter(call.runtime, name_at(call, 0), item, arguments));
  }
  return make_sequence(std::move(mapped), SequenceKind::kIterator);
}

/// select, reject: the items that pass a test, or that do not; selectattr, rejectattr: by one of their attributes.
template <bool keeps, bool by_attribute>
Value filter_items(const Invocation& call) {
  const size_t test = by_attribute ? 1 : 0;
  const std::vector<Value>& given = call.arguments.positional;
  if (by_attribute && given.empty()) refuse("'{}' needs an attribute", call.row.name);
  const Arguments arguments = after(call.arguments, std::min(given.size(), test + 1));
  std::vector<Value> kept;
  const SequencePtr items = items_of(call.subject);
  for (const Value& item : items->items) {
    call.runtime.spend(1);
    const Value value = by_attribute ? attribute_of(item, given[0]) : item;
    const bool passes =
        given.size() > test ? apply_test(call.runtime, name_at(call, test), value, arguments) : truth(value);
    if (passes == keeps) kept.push_back(item);
  }
  return make_sequence(std::move(kept), SequenceKind::kIterator);
}

Value tojson(const Invocation& call) {
  JsonStyle style;
  if (call.flag(0)) refuse("'tojson' with ensure_ascii is not supported");
  if (call.given(1) && !call.value(1).is<None>()) {
    const bool text = call.value(1).is<std::string>();
    const int64_t width = text ? 0 : std::clamp<int64_t>(call.integer(1, 0), 0, 64);
    style.indent = text ? call.text(1) : std::string(static_cast<size_t>(width), ' ');
  }
  style.item_separator = style.indent ? "," : ", ";
  style.key_separator = ": ";
  if (call.given(2) && !call.value(2).is<None>()) {
    const SequencePtr pair = items_of(call.value(2));
    const bool fits = pair->items.size() == 2 && pair->items[0].is<std::string>() && pair->items[1].is<std::string>();
    if (!fits) refuse("'tojson' takes two texts as separators");
    style.item_separator = *pair->items[0].as<std::string>();
    style.key_separator = *pair->items[1].as<std::string>();
  }
  style.sorted = call.flag(3);
  return json_text(call.subject, style);
}

constexpr std::array kFilters = {
    Builtin{"capitalize", "", convert_filter<capitalized>},
    Builtin{"count", "", length},
    Builtin{"d", "default_value? boolean?", default_value},
    Builtin{"default", "default_value? boolean?", default_value},
    Builtin{"first", "", first},
    Builtin{"int", "default?", integer},
    Builtin{"items", "", items},
    Builtin{"join", "d? attribute?", join},
    Builtin{"last", "", last},
    Builtin{"length", "", length},
    Builtin{"list", "", list},
    Builtin{"lower", "", convert_filter<lower_case>},
    Builtin{"map", "*", map},
    Builtin{"reject", "*", filter_items<false, false>},
    Builtin{"rejectattr", "*", filter_items<false, true>},
    Builtin{"replace", "old new count?", replace},
    Builtin{"select", "*", filter_items<true, false>},
    Builtin{"selectattr", "*", filter_items<true, true>},
    Builtin{"string", "", [](const Invocation& call) -> Value { return text_of(call.subject); }},
    Builtin{"title", "", convert_filter<title_words>},
    Builtin{"tojson", "ensure_ascii? indent? separators? sort_keys?", tojson},
    Builtin{"trim", "chars?", trim},
    Builtin{"upper", "", convert_filter<upper_case>},
};

}  // namespace

const Builtin* find_filter(std::string_view name) { return find_row(kFilters, name); }

}  // namespace bitloom::jinja
