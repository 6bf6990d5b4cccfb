// Functions that a template can call by name.
#include <algorithm>
#include <array>
#include <ctime>

#include "base/error.h"
#include "chat/jinja/builtins.h"

namespace bitloom::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // the limit of Jinja's sandbox

/// range(last), range(first, last), range(first, last, step)
Value range(const Invocation& call) {
  const std::vector<Value>& given = call.arguments.positional;
  if (given.empty() || given.size() > 3 || !call.arguments.named.empty()) refuse("'range' takes one to three integers");
  for (const Value& bound : given) {
    if (!bound.integer()) refuse("'range' takes integers, not a value of type {}", type_name(bound));
  }
  const int64_t first = given.size() == 1 ? 0 : *given[0].integer();
  const int64_t last = *given[given.size() == 1 ? 0 : 1].integer();
  const int64_t step = given.size() == 3 ? *given[2].integer() : 1;
  if (step == 0) refuse("'range' takes no step of zero");
  std::vector<Value> items;
  for (int64_t at = first; step > 0 ? at < last : at > last;) {
    items.emplace_back(at);
    if (static_cast<int64_t>(items.size()) > kMaxRange) refuse("'range' of more than {} integers", kMaxRange);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  return make_sequence(std::move(items), SequenceKind::kRange);
}

/// The fields of dict(...) and namespace(...): those of a dict, and then named ones.
std::vector<std::pair<std::string, Value>> fields(const Invocation& call) {
  std::vector<std::pair<std::string, Value>> items;
  if (call.arguments.positional.size() > 1) refuse("'{}' takes one dict at most", call.row.name);
  for (const Value& value : call.arguments.positional) {
    const DictPtr* dict = value.as<DictPtr>();
    if (dict == nullptr) refuse("'{}' takes a dict, not a value of type {}", call.row.name, type_name(value));
    items = (*dict)->items;
  }
  for (const auto& [name, value] : call.arguments.named) {
    const auto same = [&name = name](const auto& item) { return item.first == name; };
    const auto at = std::find_if(items.begin(), items.end(), same);
    at == items.end() ? (void)items.emplace_back(name, value) : (void)(at->second = value);
  }
  return items;
}

Value make_namespace(const Invocation& call) {
  Namespace* space = call.runtime.make_namespace();
  for (const auto& [name, value] : fields(call)) {
    if (name.starts_with('_')) refuse("'{}': a namespace has no names that begin with '_'", name);
    check_storable(value);
    space->fields[name] = value;
  }
  return space;
}

Value raise_exception(const Invocation& call) {
  throw Raised("the template refuses the conversation: " + text_of(call.value(0)));
}

/// The directives whose text is the same everywhere; a '-' leaves out padding.
void check_time_format(const std::string& format) {
  constexpr std::string_view kDirectives = "aAbBdDeFHIjmMpRSTuUVwWyY%";
  constexpr size_t kMaxFormat = 64;
  if (format.size() > kMaxFormat) refuse("'strftime_now' takes a format of at most {} bytes", kMaxFormat);
  for (size_t at = format.find('%'); at < format.size(); at = format.find('%', at)) {
    ++at;
    if (at < format.size() && format[at] == '-') ++at;
    const bool known = at < format.size() && kDirectives.find(format[at]) != std::string_view::npos;
    if (!known) refuse("'strftime_now' of the format '{}' is not supported", format);
    ++at;
  }
}

Value strftime_now(const Invocation& call) {
  const std::string& format = call.text(0);
  check_time_format(format);
  if (format.empty()) return std::string();
  std::array<char, 2048> buffer{};
  const std::tm time = call.runtime.time();
  return std::string(buffer.data(), std::strftime(buffer.data(), buffer.size(), format.c_str(), &time));
}

Value cycle(const Invocation& call) {
  const std::vector<Value>& values = call.arguments.positional;
  if (values.empty() || !call.arguments.named.empty()) refuse("'loop.cycle' takes the values");
  const int64_t at = *(*call.subject.as<Namespace*>())->fields.at("index0").integer();
  return values[static_cast<size_t>(at) % values.size()];
}

constexpr std::array kFunctions = {
    Builtin{"range", "*", range},
    Builtin{"namespace", "*", make_namespace},
    Builtin{"dict", "*", [](const Invocation& call) { return make_dict(fields(call)); }},
    Builtin{"raise_exception", "message", raise_exception},
    Builtin{"strftime_now", "format", strftime_now},
};

}  // namespace

const Builtin kLoopCycle = {"cycle", "*", cycle};

const Builtin* find_function(std::string_view name) { return find_row(kFunctions, name); }

}  // namespace bitloom::jinja
