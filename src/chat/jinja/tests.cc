// Tests: "value is NAME".
#include <algorithm>
#include <array>

#include "chat/jinja/builtins.h"
#include "chat/jinja/operators.h"

namespace bitloom::jinja {
namespace {

template <typename T>
Value is_type(const Invocation& call) {
  return call.subject.is<T>();
}

bool has_kind(const Value& value, SequenceKind most) {
  const SequencePtr* sequence = value.as<SequencePtr>();
  return sequence != nullptr && (*sequence)->kind <= most;
}

Value is_sequence(const Invocation& call) {
  const Value& value = call.subject;
  return value.is<std::string>() || value.is<DictPtr>() || value.is<Undefined>() ||
         has_kind(value, SequenceKind::kRange);
}

Value is_iterable(const Invocation& call) {
  return truth(is_sequence(call)) || has_kind(call.subject, SequenceKind::kIterator);
}

Value is_flag(const Invocation& call, bool flag) {
  const bool* value = call.subject.as<bool>();
  return value != nullptr && *value == flag;
}

template <size_t length>
struct Symbol {
  char text[length];
  constexpr Symbol(const char (&symbol)[length]) { std::copy_n(symbol, length, text); }  // NOLINT
};

template <Symbol symbol>
Value compares(const Invocation& call) {
  return find_comparison(symbol.text)->apply(call.subject, call.value(0));
}

constexpr std::array kTests = {
    Builtin{"boolean", "", is_type<bool>},
    Builtin{"defined", "", [](const Invocation& call) -> Value { return !call.subject.is<Undefined>(); }},
    Builtin{"undefined", "", is_type<Undefined>},
    Builtin{"none", "", is_type<None>},
    Builtin{"string", "", is_type<std::string>},
    Builtin{"mapping", "", is_type<DictPtr>},
    Builtin{"integer", "", is_type<int64_t>},
    Builtin{"float", "", is_type<double>},
    Builtin{"number", "", [](const Invocation& call) -> Value { return call.subject.number().has_value(); }},
    Builtin{"sequence", "", is_sequence},
    Builtin{"iterable", "", is_iterable},
    Builtin{"true", "", [](const Invocation& call) { return is_flag(call, true); }},
    Builtin{"false", "", [](const Invocation& call) { return is_flag(call, false); }},
    Builtin{"equalto", "other", compares<"==">},
    Builtin{"eq", "other", compares<"==">},
    Builtin{"==", "other", compares<"==">},
    Builtin{"ne", "other", compares<"!=">},
    Builtin{"!=", "other", compares<"!=">},
    Builtin{"lt", "other", compares<"<">},
    Builtin{"le", "other", compares<"<=">},
    Builtin{"gt", "other", compares<">">},
    Builtin{"ge", "other", compares<">=">},
    Builtin{"in", "seq", compares<"in">},
};

}  // namespace

const Builtin* find_test(std::string_view name) { return find_row(kTests, name); }

}  // namespace bitloom::jinja
