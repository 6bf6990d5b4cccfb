#pragma once
// What a rendering owns and may use up: namespaces, work, the clock. Functions that a template can call.

#include <ctime>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "chat/jinja/value.h"

namespace bitloom::jinja {

struct Builtin;
struct Macro;

/// Names, those of the scope around it behind them.
struct Scope {
  const Scope* outer = nullptr;
  std::map<std::string, Value, std::less<>> names = {};
};

/// A function, a method with its object, or a macro.
struct Callable {
  std::string name;
  const Builtin* builtin = nullptr;
  Value receiver;                // of a method
  const Macro* macro = nullptr;  // else this, whose body stands in `scope`
  const Scope* scope = nullptr;
  mutable bool expired = false;  // the caller of a call block that has ended
};

/// Values of a call.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// What raise_exception() throws: the template's own refusal.
class Raised : public Error {
 public:
  explicit Raised(const std::string& message) : Error(ErrorKind::kRefused, message) {}
};

/// Bounds keep a hostile template from taking more than seconds and a GiB; a long conversation needs a hundredth.
class Runtime {
 public:
  /// Evaluations, each with a surcharge per KiB of text.
  static constexpr size_t kMaxWork = 5'000'000;
  /// Bytes of all texts and lists that expressions made.
  static constexpr size_t kMaxMade = size_t{512} << 20;
  static constexpr int kMaxDepth = 400;  // of evaluations, macros' included

  explicit Runtime(const std::tm& time) : time_(time) {}

  void spend(size_t units);
  /// Work and memory of a value that was just made.
  void made(const Value& value);
  void wrote(size_t bytes);
  Namespace* make_namespace();
  const std::tm& time() const { return time_; }

 private:
  std::tm time_;
  std::deque<Namespace> namespaces_;
  size_t work_ = 0, made_ = 0;
};

/// Items of whatever a 'for' accepts: of lists, characters of a text, keys of a dict, none of an undefined value.
/// Error(kRefused) for anything else, and for an iterator that was used before.
SequencePtr items_of(const Value& value);

/// Error(kRefused) when the value may not outlive the statement: the state of a loop.
void check_storable(const Value& value);

}  // namespace bitloom::jinja
