// Methods of texts and dicts.
#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/text/text.h"
#include "chat/jinja/builtins.h"
#include "chat/jinja/text.h"

namespace bitloom::jinja {
namespace {

const std::string& self(const Invocation& call) { return *call.subject.as<std::string>(); }
const Dict& dict(const Invocation& call) { return **call.subject.as<DictPtr>(); }

template <Side side>
Value strip_method(const Invocation& call) {
  return std::string(strip(self(call), side, call.optional_text(0)));
}

template <std::string (*convert)(std::string_view)>
Value convert_method(const Invocation& call) {
  return convert(self(call));
}

/// startswith and endswith: one text, or any of a tuple.
template <bool (*matches)(const std::string&, const std::string&)>
Value affix_method(const Invocation& call) {
  const SequencePtr* several = call.value(0).as<SequencePtr>();
  if (several == nullptr) return matches(self(call), call.text(0));
  const std::vector<Value>& affixes = (*several)->items;
  return std::any_of(affixes.begin(), affixes.end(), [&call](const Value& affix) {
    const std::string* text = affix.as<std::string>();
    if (text == nullptr) refuse("'{}' takes texts", call.row.name);
    return matches(self(call), *text);
  });
}
bool starts_with(const std::string& text, const std::string& affix) { return text.starts_with(affix); }
bool ends_with(const std::string& text, const std::string& affix) { return text.ends_with(affix); }

Value split_method(const Invocation& call) {
  std::vector<Value> items;
  for (std::string& part : split_text(self(call), call.optional_text(0), call.integer(1, -1))) {
    items.emplace_back(std::move(part));
  }
  return make_sequence(std::move(items));
}

Value replace_method(const Invocation& call) {
  return replace_text(self(call), call.text(0), call.text(1), call.integer(2, -1));
}

Value find_position(const Invocation& call) {
  const size_t at = self(call).find(call.text(0));
  return at == std::string::npos ? int64_t{-1} : count_characters(std::string_view(self(call)).substr(0, at));
}

Value get_method(const Invocation& call) {
  const std::string* key = call.value(0).as<std::string>();
  const Value* item = key != nullptr ? dict(call).find(*key) : nullptr;
  if (item != nullptr) return *item;
  return call.given(1) ? call.value(1) : Value(None{});
}

/// items, keys, values: a view of what `pick` makes of each pair.
template <Value (*pick)(const std::pair<std::string, Value>&)>
Value view_method(const Invocation& call) {
  std::vector<Value> items;
  for (const auto& item : dict(call).items) items.push_back(pick(item));
  return make_sequence(std::move(items), SequenceKind::kView);
}
Value pick_pair(const std::pair<std::string, Value>& item) {
  return make_sequence({item.first, item.second}, SequenceKind::kTuple);
}
Value pick_key(const std::pair<std::string, Value>& item) { return item.first; }
Value pick_value(const std::pair<std::string, Value>& item) { return item.second; }

constexpr std::array kTextMethods = {
    Builtin{"capitalize", "", convert_method<capitalized>},
    Builtin{"endswith", "suffix", affix_method<ends_with>},
    Builtin{"find", "sub", find_position},
    Builtin{"lower", "", convert_method<lower_case>},
    Builtin{"lstrip", "chars?", strip_method<Side::kLeft>},
    Builtin{"replace", "old new count?", replace_method},
    Builtin{"rstrip", "chars?", strip_method<Side::kRight>},
    Builtin{"split", "sep? maxsplit?", split_method},
    Builtin{"startswith", "prefix", affix_method<starts_with>},
    Builtin{"strip", "chars?", strip_method<Side::kBoth>},
    Builtin{"title", "", convert_method<title_case>},
    Builtin{"upper", "", convert_method<upper_case>},
};

constexpr std::array kDictMethods = {
    Builtin{"get", "key default?", get_method},
    Builtin{"items", "", view_method<pick_pair>},
    Builtin{"keys", "", view_method<pick_key>},
    Builtin{"values", "", view_method<pick_value>},
};

// What Python's types have beyond the tables: refused, since "no such attribute" would be wrong.
constexpr std::array<std::string_view, 35> kOtherTextMethods = {
    "casefold", "center",     "count",       "encode",    "expandtabs", "format",       "format_map",
    "index",    "isalnum",    "isalpha",     "isascii",   "isdecimal",  "isdigit",      "isidentifier",
    "islower",  "isnumeric",  "isprintable", "isspace",   "istitle",    "isupper",      "join",
    "ljust",    "maketrans",  "partition",   "rfind",     "rindex",     "rjust",        "rpartition",
    "rsplit",   "splitlines", "swapcase",    "translate", "zfill",      "removeprefix", "removesuffix"};
constexpr std::array<std::string_view, 7> kOtherDictMethods = {"clear",   "copy",       "fromkeys", "pop",
                                                               "popitem", "setdefault", "update"};
constexpr std::array<std::string_view, 11> kSequenceMethods = {
    "append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort"};

bool lists(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::optional<Value> find_method(const Value& object, const std::string& name) {
  const bool is_text = object.is<std::string>(), is_dict = object.is<DictPtr>();
  std::span<const Builtin> rows;
  std::span<const std::string_view> others = kSequenceMethods;
  if (is_text) rows = kTextMethods, others = kOtherTextMethods;
  if (is_dict) rows = kDictMethods, others = kOtherDictMethods;
  if (const Builtin* row = find_row(rows, name)) {
    return std::make_shared<const Callable>(Callable{name, row, object});
  }
  const bool has_others = is_text || is_dict || object.is<SequencePtr>();
  const bool opaque = object.number().has_value() || object.is<CallablePtr>();  // Python's numbers have attributes, too
  if (opaque || (has_others && lists(others, name)) || name.starts_with("__")) {
    refuse("attribute '{}' of a value of type {} is not supported", name, type_name(object));
  }
  return std::nullopt;
}

}  // namespace bitloom::jinja
