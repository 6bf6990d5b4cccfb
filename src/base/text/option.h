#pragma once
// Named options of a value whose type is open: what a text may set, in which range, and where it lies in the struct. A
// table of them serves parsing, printing, messages and checks.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/text/any_value.h"

namespace bitloom {

enum class OptionKind { kNumber, kInteger, kFlag, kChoice };

/// One option. Every kind's value fits a double: numbers and integers (below 2^53) themselves, flags 0 and 1, choices
/// their place in the list.
struct Option {
  std::string_view name;
  std::string_view alias;  // another accepted spelling, or ""
  std::string_view help;
  OptionKind kind = OptionKind::kNumber;
  double low = 0, high = 1;  // the range, both ends allowed
  std::span<const std::string_view> choices;
  double (*get)(const AnyValue& value) = nullptr;
  void (*set)(AnyValue& value, double number) = nullptr;
};

/// nullopt for a text that is none of the option's values.
std::optional<double> parse_option(const Option& option, std::string_view text);
/// "0.05", "500", "true", "act-order": numbers in the shortest form that reads back exactly.
std::string value_text(const Option& option, double value);
/// "a number from 0 to 0.99", "true or false", "one of natural, act-order, group-aware".
std::string allowed_values(const Option& option);
/// Whether parse_option could give the value. False for NaN.
bool in_range(const Option& option, double value);

// ---- options that are members of a struct ---------------------------------------------------------------------------

/// Reads and writes a member of the struct that an AnyValue holds.
template <auto kMember>
struct OptionMember;
template <typename Owner, typename Value, Value Owner::*kMember>
struct OptionMember<kMember> {
  using Type = Value;
  static double get(const AnyValue& value) { return static_cast<double>(value.get<Owner>().*kMember); }
  static void set(AnyValue& value, double number) { value.get_if<Owner>()->*kMember = static_cast<Value>(number); }
};

/// A number or an integer, as the member's type says.
template <auto kMember>
constexpr Option number_option(std::string_view name, double low, double high, std::string_view help,
                               std::string_view alias = "") {
  using Type = typename OptionMember<kMember>::Type;
  static_assert(std::is_same_v<Type, double> || std::is_same_v<Type, int64_t>);
  const OptionKind kind = std::is_same_v<Type, double> ? OptionKind::kNumber : OptionKind::kInteger;
  return {name, alias, help, kind, low, high, {}, OptionMember<kMember>::get, OptionMember<kMember>::set};
}

template <auto kMember>
constexpr Option flag_option(std::string_view name, std::string_view help) {
  static_assert(std::is_same_v<typename OptionMember<kMember>::Type, bool>);
  return {name, "", help, OptionKind::kFlag, 0, 1, {}, OptionMember<kMember>::get, OptionMember<kMember>::set};
}

/// `choices` are spelled in the order of the enumeration.
template <auto kMember>
constexpr Option choice_option(std::string_view name, std::span<const std::string_view> choices,
                               std::string_view help) {
  static_assert(std::is_enum_v<typename OptionMember<kMember>::Type>);
  const auto last = static_cast<double>(choices.size() - 1);
  using Member = OptionMember<kMember>;
  return {name, "", help, OptionKind::kChoice, 0, last, choices, Member::get, Member::set};
}

}  // namespace bitloom
