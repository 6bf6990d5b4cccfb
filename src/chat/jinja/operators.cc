#include "chat/jinja/operators.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/text/text.h"
#include "chat/jinja/builtins.h"
#include "chat/jinja/text.h"
#include "tokenize/text/unicode.h"

namespace bitloom::jinja {
namespace {

[[noreturn]] void refuse_operands(std::string_view symbol, const Value& left, const Value& right) {
  refuse("'{}' of {} and {} is not defined", symbol, type_name(left), type_name(right));
}
[[noreturn]] void refuse_overflow(std::string_view symbol) { refuse("'{}' exceeds 64-bit integers", symbol); }

/// Integers when both are, else real numbers.
template <typename Whole, typename Real>
Value arithmetic(std::string_view symbol, const Value& left, const Value& right, Whole whole, Real real) {
  const auto one = left.integer(), two = right.integer();
  if (one && two) {
    int64_t result = 0;
    if (whole(*one, *two, result)) refuse_overflow(symbol);
    return result;
  }
  if (!left.number() || !right.number()) refuse_operands(symbol, left, right);
  return real(*left.number(), *right.number());
}

bool overflows_add(int64_t a, int64_t b, int64_t& out) { return __builtin_add_overflow(a, b, &out); }
bool overflows_subtract(int64_t a, int64_t b, int64_t& out) { return __builtin_sub_overflow(a, b, &out); }
bool overflows_multiply(int64_t a, int64_t b, int64_t& out) { return __builtin_mul_overflow(a, b, &out); }

Value add(const Value& left, const Value& right) {
  if (left.is<std::string>() && right.is<std::string>()) {
    const std::string &one = *left.as<std::string>(), &two = *right.as<std::string>();
    check_text_size(one.size() + two.size());
    return one + two;
  }
  if (left.is<SequencePtr>() && right.is<SequencePtr>()) {
    const Sequence &one = **left.as<SequencePtr>(), &two = **right.as<SequencePtr>();
    const bool joins = one.kind == SequenceKind::kList || one.kind == SequenceKind::kTuple;
    if (!joins || one.kind != two.kind) refuse_operands("+", left, right);
    check_text_size(sizeof(Value) * (one.items.size() + two.items.size()));
    std::vector<Value> items = one.items;
    items.insert(items.end(), two.items.begin(), two.items.end());
    return make_sequence(std::move(items), one.kind);
  }
  return arithmetic("+", left, right, overflows_add, [](double a, double b) { return a + b; });
}

Value subtract(const Value& left, const Value& right) {
  return arithmetic("-", left, right, overflows_subtract, [](double a, double b) { return a - b; });
}

/// `count` copies of a text or list.
Value repeated(const Value& value, int64_t count) {
  const size_t times = static_cast<size_t>(std::clamp<int64_t>(count, 0, int64_t{1} << 32));
  if (const std::string* text = value.as<std::string>()) {
    check_text_size(text->size() * times);
    std::string out;
    for (size_t i = 0; i < times && !text->empty(); ++i) out += *text;
    return out;
  }
  const Sequence& sequence = **value.as<SequencePtr>();
  check_text_size(sizeof(Value) * sequence.items.size() * times);
  std::vector<Value> items;
  for (size_t i = 0; i < times && !sequence.items.empty(); ++i) {
    items.insert(items.end(), sequence.items.begin(), sequence.items.end());
  }
  return make_sequence(std::move(items), sequence.kind);
}

bool repeats(const Value& value) {
  if (const SequencePtr* sequence = value.as<SequencePtr>()) {
    return (*sequence)->kind == SequenceKind::kList || (*sequence)->kind == SequenceKind::kTuple;
  }
  return value.is<std::string>();
}

Value multiply(const Value& left, const Value& right) {
  if (repeats(left) && right.integer()) return repeated(left, *right.integer());
  if (repeats(right) && left.integer()) return repeated(right, *left.integer());
  return arithmetic("*", left, right, overflows_multiply, [](double a, double b) { return a * b; });
}

void check_divisor(const Value& left, const Value& right, std::string_view symbol) {
  if (!left.number() || !right.number()) refuse_operands(symbol, left, right);
  if (*right.number() == 0) refuse("'{}' by zero", symbol);
}

Value divide(const Value& left, const Value& right) {
  check_divisor(left, right, "/");
  return *left.number() / *right.number();
}

/// Python's modulo has the sign of the divisor: a = floor(a / b) b + (a mod b).
double real_modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) == (b < 0) ? rest : rest + b;
}

/// a // b as Python rounds it: from the exact remainder, not from the quotient.
double real_floor_quotient(double a, double b) {
  const double quotient = (a - real_modulo(a, b)) / b;
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

Value floor_divide(const Value& left, const Value& right) {
  check_divisor(left, right, "//");
  const auto whole = [](int64_t a, int64_t b, int64_t& out) {
    if (b == -1) return overflows_subtract(0, a, out);
    out = a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
    return false;
  };
  return arithmetic("//", left, right, whole, real_floor_quotient);
}

Value modulo(const Value& left, const Value& right) {
  if (left.is<std::string>()) refuse("'%' of a text (printf formatting) is not supported");
  check_divisor(left, right, "%");
  const auto whole = [](int64_t a, int64_t b, int64_t& out) {
    const int64_t rest = b == -1 ? 0 : a % b;
    out = rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
    return false;
  };
  return arithmetic("%", left, right, whole, real_modulo);
}

Value power(const Value& left, const Value& right) {
  const auto base = left.integer(), exponent = right.integer();
  if (base && exponent && *exponent >= 0) {
    if (*exponent > 63 && (*base > 1 || *base < -1)) refuse_overflow("**");
    int64_t result = 1;
    const int64_t times = *base == 0 || *base == 1 || *base == -1 ? std::min(*exponent, 2 - *exponent % 2) : *exponent;
    for (int64_t i = 0; i < times; ++i) {
      if (overflows_multiply(result, *base, result)) refuse_overflow("**");
    }
    return result;
  }
  if (!left.number() || !right.number()) refuse_operands("**", left, right);
  const double result = std::pow(*left.number(), *right.number());
  if (!std::isfinite(result)) refuse("'**' of {} and {} has no value", text_of(left), text_of(right));
  return result;
}

Value concatenate(const Value& left, const Value& right) {
  std::string text = text_of(left) + text_of(right);
  check_text_size(text.size());
  return text;
}

constexpr std::array<BinaryOperator, 8> kBinary = {{{"+", 0, add},
                                                    {"-", 0, subtract},
                                                    {"~", 1, concatenate},
                                                    {"*", 2, multiply},
                                                    {"/", 2, divide},
                                                    {"//", 2, floor_divide},
                                                    {"%", 2, modulo},
                                                    {"**", 3, power}}};

constexpr std::array<ComparisonOperator, 8> kComparisons = {
    {{"==", equal},
     {"!=", [](const Value& a, const Value& b) { return !equal(a, b); }},
     {"<", less},
     {"<=", [](const Value& a, const Value& b) { return less(a, b) || equal(a, b); }},
     {">", [](const Value& a, const Value& b) { return less(b, a); }},
     {">=", [](const Value& a, const Value& b) { return less(b, a) || equal(a, b); }},
     {"in", [](const Value& a, const Value& b) { return contains(b, a); }},
     {"not in", [](const Value& a, const Value& b) { return !contains(b, a); }}}};

template <typename Row, size_t count>
const Row* find_symbol(const std::array<Row, count>& rows, std::string_view symbol) {
  const auto at = std::find_if(rows.begin(), rows.end(), [symbol](const Row& row) { return row.symbol == symbol; });
  return at == rows.end() ? nullptr : &*at;
}

/// Bounds of a slice over `size` items, as Python clips them.
struct Range {
  int64_t first, last, step;
};
Range clip(int64_t size, const Value& first, const Value& last, const Value& step) {
  const auto whole = [](const Value& value, int64_t otherwise) {
    if (value.is<None>()) return otherwise;
    if (!value.integer()) refuse("slices by a value of type {}", type_name(value));
    return *value.integer();
  };
  Range range{0, 0, whole(step, 1)};
  if (range.step == 0) refuse("slices by a step of zero");
  const int64_t low = range.step > 0 ? 0 : -1, high = range.step > 0 ? size : size - 1;
  const auto place = [&](const Value& value, int64_t otherwise) {
    const int64_t at = whole(value, otherwise);
    if (value.is<None>()) return at;
    return std::clamp(at < 0 ? std::max(at, -size - 1) + size : at, low, high);
  };
  range.first = place(first, range.step > 0 ? low : high);
  range.last = place(last, range.step > 0 ? high : low);
  return range;
}

template <typename Take>
void for_each(const Range& range, Take take) {
  // The step may be as large as an integer gets.
  const auto ends = [&](int64_t at) { return range.step > 0 ? at >= range.last : at <= range.last; };
  for (int64_t at = range.first; !ends(at);) {
    take(static_cast<size_t>(at));
    if (__builtin_add_overflow(at, range.step, &at)) return;
  }
}

/// The item at `index`, negative from the end; nullptr when there is none.
const Value* item_at(const Sequence& sequence, int64_t index) {
  const auto size = static_cast<int64_t>(sequence.items.size());
  if (index < 0) index += size;
  return index >= 0 && index < size ? &sequence.items[static_cast<size_t>(index)] : nullptr;
}

Value character_at(const std::string& text, int64_t index) {
  const int64_t at = index < 0 ? index + count_characters(text) : index;
  size_t begin = 0;
  for (int64_t i = 0; i < at && begin < text.size(); ++i) next_code_point(text, begin);
  if (at < 0 || begin >= text.size()) return Undefined{"the text has no character " + std::to_string(index)};
  size_t end = begin;
  next_code_point(text, end);
  return text.substr(begin, end - begin);
}

Undefined missing(const Value& object, const std::string& name) {
  return {"a value of type " + type_name(object) + " has no attribute '" + name + "'"};
}

}  // namespace

const BinaryOperator* find_binary(std::string_view symbol) { return find_symbol(kBinary, symbol); }
const ComparisonOperator* find_comparison(std::string_view symbol) { return find_symbol(kComparisons, symbol); }

Value apply_unary(UnaryKind kind, const Value& operand) {
  if (kind == UnaryKind::kNot) return !truth(operand);
  if (!operand.number()) refuse("the sign of a value of type {} is not defined", type_name(operand));
  if (kind == UnaryKind::kMinus) {
    return operand.integer() ? subtract(int64_t{0}, operand) : Value(-*operand.number());
  }
  return operand.integer() ? Value(*operand.integer()) : operand;
}

Value attribute(const Value& object, const std::string& name) {
  if (const Undefined* undefined = object.as<Undefined>())
    refuse("{}, and so no attribute '{}'", undefined->what, name);
  if (const auto* space = object.as<Namespace*>()) {
    const auto at = (*space)->fields.find(name);
    return at == (*space)->fields.end() ? Value(missing(object, name)) : at->second;
  }
  if (auto method = find_method(object, name)) return *method;
  const DictPtr* dict = object.as<DictPtr>();
  const Value* item = dict != nullptr ? (*dict)->find(name) : nullptr;
  return item != nullptr ? *item : Value(missing(object, name));
}

Value subscript(const Value& object, const Value& index) {
  if (const Undefined* undefined = object.as<Undefined>()) refuse("{}, and so no item", undefined->what);
  const std::string* name = index.as<std::string>();
  if (const DictPtr* dict = object.as<DictPtr>(); dict != nullptr && name != nullptr) {
    if (const Value* item = (*dict)->find(*name)) return *item;
  }
  if (name != nullptr) return attribute(object, *name);
  const std::string* text = object.as<std::string>();
  if (text != nullptr && index.integer()) return character_at(*text, *index.integer());
  if (const SequencePtr* sequence = object.as<SequencePtr>(); sequence != nullptr && index.integer()) {
    if ((*sequence)->kind == SequenceKind::kIterator || (*sequence)->kind == SequenceKind::kView) {
      refuse("takes an item of a value of type {}; make it a list first", type_name(object));
    }
    const Value* item = item_at(**sequence, *index.integer());
    return item != nullptr ? *item : Value(missing(object, std::to_string(*index.integer())));
  }
  return missing(object, index.is<std::string>() ? *name : "of type " + type_name(index));
}

Value slice(const Value& object, const Value& first, const Value& last, const Value& step) {
  if (const std::string* text = object.as<std::string>()) {
    std::string out;
    const std::vector<std::string_view> characters = split_characters(*text);
    for_each(clip(static_cast<int64_t>(characters.size()), first, last, step),
             [&](size_t at) { out += characters[at]; });
    return out;
  }
  const SequencePtr* sequence = object.as<SequencePtr>();
  if (sequence == nullptr || (*sequence)->kind > SequenceKind::kRange) {
    refuse("slices a value of type {}", type_name(object));
  }
  std::vector<Value> items;
  for_each(clip(static_cast<int64_t>((*sequence)->items.size()), first, last, step),
           [&](size_t at) { items.push_back((*sequence)->items[at]); });
  return make_sequence(std::move(items), (*sequence)->kind);
}

}  // namespace bitloom::jinja
