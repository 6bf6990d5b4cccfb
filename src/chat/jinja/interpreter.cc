#include "chat/jinja/interpreter.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "chat/jinja/builtins.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/text.h"

namespace bitloom::jinja {
namespace {

enum class Flow { kNext, kBreak, kContinue };

// Names that Jinja has and bitloom lacks.
constexpr std::array<std::string_view, 7> kOtherNames = {"cycler", "joiner",  "kwargs", "lipsum",
                                                         "self",   "varargs", "super"};

class Interpreter {
 public:
  Interpreter(Runtime& runtime, Scope& globals) : runtime_(runtime), globals_(globals), scope_(&globals) {}

  void render(const Block& program) { execute(program); }
  std::string text() && { return std::move(out_); }
  int line() const { return line_; }  // of what was being done, when it failed

 private:
  /// Holds for its lifetime: one more evaluation inside others.
  class Level {
   public:
    explicit Level(Interpreter& of) : of_(of) {
      if (++of_.depth_ > Runtime::kMaxDepth) refuse("nests evaluations more than {} deep", Runtime::kMaxDepth);
    }
    ~Level() { --of_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Interpreter& of_;
  };

  Value evaluate(const Expression& expression);
  Value evaluate_or_none(const ExpressionPtr& expression) { return expression ? evaluate(*expression) : Value(None{}); }
  Value visit(const Literal& node) { return node.value; }
  Value visit(const Name& node);
  Value visit(const Items& node);
  Value visit(const Pairs& node);
  Value visit(const Attribute& node) { return attribute(evaluate(*node.object), node.name); }
  Value visit(const Subscript& node);
  Value visit(const Slice& node);
  Value visit(const Unary& node) { return apply_unary(node.kind, evaluate(*node.operand)); }
  Value visit(const Binary& node);
  Value visit(const Logical& node);
  Value visit(const Comparison& node);
  Value visit(const Conditional& node);
  Value visit(const Filter& node) { return filtered(node, evaluate(*node.subject)); }
  Value visit(const Test& node);
  Value visit(const Call& node);
  Value filtered(const Filter& node, const Value& subject);
  Arguments evaluate(const CallArguments& arguments);
  Value call(const Value& callee, const Arguments& arguments);
  Value call_macro(const Callable& callable, const Arguments& arguments);
  void bind_parameters(const Macro& macro, const Arguments& arguments);

  Flow execute(const Block& block);
  Flow visit(const Text& node) { return write(node.text); }
  Flow visit(const Output& node) { return write(text_of(evaluate(*node.value))); }
  Flow visit(const If& node);
  Flow visit(const For& node);
  Flow visit(const Set& node) { return assign(node.target, evaluate(*node.value)); }
  Flow visit(const SetBlock& node);
  Flow visit(const Macro& node);
  Flow visit(const CallBlock& node);
  Flow visit(const Generation& node);
  Flow visit(const Break&) { return Flow::kBreak; }
  Flow visit(const Continue&) { return Flow::kContinue; }
  std::vector<Value> loop_items(const For& node);
  Flow run_iteration(const For& node, const std::vector<Value>& items, size_t at, Namespace& loop);

  Flow write(std::string_view text);
  Flow assign(const Target& target, const Value& value);
  /// What the block prints, in a scope of its own inside `outer`.
  template <typename Prepare>
  std::string captured(const Block& block, const Scope& outer, Prepare prepare);

  Runtime& runtime_;
  Scope& globals_;
  Scope* scope_;
  std::string out_;
  int line_ = 1, depth_ = 0;
};

Value Interpreter::evaluate(const Expression& expression) {
  const Level level(*this);
  const int before = line_;
  line_ = expression.line;
  Value value = std::visit([this](const auto& node) { return visit(node); }, expression.node);
  line_ = before;  // where an operation on the value would fail
  const std::string* text = value.as<std::string>();
  runtime_.spend(1 + (text != nullptr ? text->size() / 1024 : 0));
  return value;
}

Value Interpreter::visit(const Name& node) {
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->outer) {
    const auto at = scope->names.find(node.name);
    if (at != scope->names.end()) return at->second;
  }
  if (const Builtin* function = find_function(node.name)) {
    return std::make_shared<const Callable>(Callable{node.name, function, {}});
  }
  if (std::find(kOtherNames.begin(), kOtherNames.end(), node.name) != kOtherNames.end()) {
    refuse("'{}' is not supported", node.name);
  }
  return Undefined{"'" + node.name + "' is undefined"};
}

Value Interpreter::visit(const Items& node) {
  std::vector<Value> items;
  for (const ExpressionPtr& item : node.items) {
    items.push_back(evaluate(*item));
    check_storable(items.back());
  }
  Value value = make_sequence(std::move(items), node.is_tuple ? SequenceKind::kTuple : SequenceKind::kList);
  runtime_.made(value);
  return value;
}

Value Interpreter::visit(const Pairs& node) {
  std::vector<std::pair<std::string, Value>> items;
  for (const auto& [key, value] : node.items) {
    const Value name = evaluate(*key);
    const std::string* text = name.as<std::string>();
    if (text == nullptr) refuse("a dict's key of type {} is not supported", type_name(name));
    Value item = evaluate(*value);
    check_storable(item);
    const auto same = [text](const auto& other) { return other.first == *text; };
    const auto at = std::find_if(items.begin(), items.end(), same);
    at == items.end() ? (void)items.emplace_back(*text, std::move(item)) : (void)(at->second = std::move(item));
  }
  Value value = make_dict(std::move(items));
  runtime_.made(value);
  return value;
}

Value Interpreter::visit(const Subscript& node) {
  const Value object = evaluate(*node.object);
  return subscript(object, evaluate(*node.index));
}

Value Interpreter::visit(const Slice& node) {
  const Value object = evaluate(*node.object);
  const Value first = evaluate_or_none(node.first), last = evaluate_or_none(node.last);
  Value value = slice(object, first, last, evaluate_or_none(node.step));
  runtime_.made(value);
  return value;
}

Value Interpreter::visit(const Binary& node) {
  const Value left = evaluate(*node.left);
  Value value = node.kind->apply(left, evaluate(*node.right));
  runtime_.made(value);
  return value;
}

Value Interpreter::visit(const Logical& node) {
  Value left = evaluate(*node.left);
  return truth(left) == node.is_and ? evaluate(*node.right) : left;
}

Value Interpreter::visit(const Comparison& node) {
  Value left = evaluate(*node.first);
  for (const auto& [kind, operand] : node.rest) {
    Value right = evaluate(*operand);
    if (!kind->apply(left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Value Interpreter::visit(const Conditional& node) {
  if (truth(evaluate(*node.test))) return evaluate(*node.yes);
  return node.no ? evaluate(*node.no) : Value(Undefined{"an 'if' without 'else' has no value"});
}

Value Interpreter::filtered(const Filter& node, const Value& subject) {
  return apply_filter(runtime_, node.name, subject, evaluate(node.arguments));
}

Value Interpreter::visit(const Test& node) {
  const Value subject = evaluate(*node.subject);
  return apply_test(runtime_, node.name, subject, evaluate(node.arguments)) != node.negated;
}

Arguments Interpreter::evaluate(const CallArguments& arguments) {
  if (arguments.spread) refuse("'*' in a call is not supported");
  Arguments values;
  for (const ExpressionPtr& value : arguments.positional) values.positional.push_back(evaluate(*value));
  for (const auto& [name, value] : arguments.named) {
    const auto same = [&name = name](const auto& other) { return other.first == name; };
    if (std::any_of(values.named.begin(), values.named.end(), same)) refuse("gives '{}' twice", name);
    values.named.emplace_back(name, evaluate(*value));
  }
  return values;
}

Value Interpreter::visit(const Call& node) {
  const Value callee = evaluate(*node.callee);
  return call(callee, evaluate(node.arguments));
}

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
  if (const Undefined* undefined = callee.as<Undefined>()) refuse("{}, and so cannot be called", undefined->what);
  const CallablePtr* callable = callee.as<CallablePtr>();
  if (callable == nullptr) refuse("a value of type {} cannot be called", type_name(callee));
  if ((*callable)->expired) refuse("'{}' is called after its block has ended", (*callable)->name);
  if ((*callable)->macro != nullptr) return call_macro(**callable, arguments);
  return invoke(runtime_, *(*callable)->builtin, (*callable)->receiver, arguments);
}

void Interpreter::bind_parameters(const Macro& macro, const Arguments& arguments) {
  if (arguments.positional.size() > macro.parameters.size()) {
    refuse("macro '{}' takes {} arguments at most", macro.name, macro.parameters.size());
  }
  for (const auto& [name, value] : arguments.named) {
    const auto same = [&name = name](const MacroParameter& parameter) { return parameter.name == name; };
    const auto at = std::find_if(macro.parameters.begin(), macro.parameters.end(), same);
    const bool known = at != macro.parameters.end() || name == "caller";
    if (!known) refuse("macro '{}' has no parameter '{}'", macro.name, name);
    if (at < macro.parameters.begin() + static_cast<std::ptrdiff_t>(arguments.positional.size())) {
      refuse("macro '{}' gets '{}' twice", macro.name, name);
    }
    scope_->names[name] = value;
  }
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const MacroParameter& parameter = macro.parameters[i];
    if (i < arguments.positional.size()) {
      scope_->names[parameter.name] = arguments.positional[i];
    } else if (!scope_->names.contains(parameter.name)) {
      scope_->names[parameter.name] = parameter.otherwise
                                          ? evaluate(*parameter.otherwise)
                                          : Value(Undefined{"parameter '" + parameter.name + "' was not given"});
    }
  }
}

/// A macro sees the template's names; the body of a call block those around it.
Value Interpreter::call_macro(const Callable& callable, const Arguments& arguments) {
  const Level level(*this);
  const Macro& macro = *callable.macro;
  Value text = captured(macro.body, *callable.scope, [&] { bind_parameters(macro, arguments); });
  runtime_.made(text);
  return text;
}

Flow Interpreter::execute(const Block& block) {
  const Level level(*this);
  for (const Statement& statement : block) {
    runtime_.spend(1);
    line_ = statement.line;
    const Flow flow = std::visit([this](const auto& node) { return visit(node); }, statement.node);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Flow Interpreter::visit(const If& node) {
  for (const auto& [test, block] : node.branches) {
    if (truth(evaluate(*test))) return execute(block);
  }
  return execute(node.otherwise);
}

std::vector<Value> Interpreter::loop_items(const For& node) {
  std::vector<Value> items = items_of(evaluate(*node.items))->items;
  if (!node.condition) return items;
  const auto fails = [&](const Value& item) {
    Scope* before = scope_;
    Scope scope{before};
    scope_ = &scope;
    assign(node.target, item);
    const bool passes = truth(evaluate(*node.condition));
    scope_ = before;
    return !passes;
  };
  items.erase(std::remove_if(items.begin(), items.end(), fails), items.end());
  return items;
}

Flow Interpreter::run_iteration(const For& node, const std::vector<Value>& items, size_t at, Namespace& loop) {
  const auto size = static_cast<int64_t>(items.size()), index = static_cast<int64_t>(at);
  loop.fields["index"] = index + 1;
  loop.fields["index0"] = index;
  loop.fields["revindex"] = size - index;
  loop.fields["revindex0"] = size - index - 1;
  loop.fields["first"] = at == 0;
  loop.fields["last"] = index + 1 == size;
  loop.fields["length"] = size;
  loop.fields["depth"] = int64_t{1};
  loop.fields["depth0"] = int64_t{0};
  loop.fields["previtem"] = at > 0 ? items[at - 1] : Value(Undefined{"there is no previous item"});
  loop.fields["nextitem"] = at + 1 < items.size() ? items[at + 1] : Value(Undefined{"there is no next item"});
  Scope* before = scope_;
  Scope scope{before};
  scope_ = &scope;
  scope.names["loop"] = &loop;
  assign(node.target, items[at]);
  const Flow flow = execute(node.body);
  scope_ = before;
  return flow;
}

Flow Interpreter::visit(const For& node) {
  const std::vector<Value> items = loop_items(node);
  Namespace loop{true, {}};
  loop.fields["cycle"] = std::make_shared<const Callable>(Callable{"loop.cycle", &kLoopCycle, &loop});
  bool completed = false;  // one iteration, to the end of the body: what Jinja's 'else' asks
  for (size_t at = 0; at < items.size(); ++at) {
    runtime_.spend(5);
    const Flow flow = run_iteration(node, items, at, loop);
    completed = completed || flow == Flow::kNext;
    if (flow == Flow::kBreak) break;
  }
  if (completed) return Flow::kNext;
  Scope* before = scope_;
  Scope scope{before};
  scope_ = &scope;
  const Flow flow = execute(node.otherwise);
  scope_ = before;
  return flow;
}

Flow Interpreter::visit(const SetBlock& node) {
  Value text = captured(node.body, *scope_, [] {});
  for (const ExpressionPtr& filter : node.filters) text = filtered(std::get<Filter>(filter->node), text);
  return assign(node.target, text);
}

Flow Interpreter::visit(const Macro& node) {
  if (scope_ != &globals_) refuse("a macro inside a loop, macro or block is not supported");
  scope_->names[node.name] = std::make_shared<const Callable>(Callable{node.name, nullptr, {}, &node, scope_});
  return Flow::kNext;
}

Flow Interpreter::visit(const CallBlock& node) {
  const Call& made = std::get<Call>(node.call->node);
  const Value callee = evaluate(*made.callee);
  Arguments arguments = evaluate(made.arguments);
  const auto caller = std::make_shared<const Callable>(Callable{"caller", nullptr, {}, node.caller.get(), scope_});
  arguments.named.emplace_back("caller", CallablePtr(caller));
  const std::string text = text_of(call(callee, arguments));
  caller->expired = true;
  return write(text);
}

Flow Interpreter::visit(const Generation& node) {
  return write(captured(node.body, *scope_, [] {}));
}

Flow Interpreter::write(std::string_view text) {
  check_text_size(out_.size() + text.size());
  runtime_.wrote(text.size());
  out_ += text;
  return Flow::kNext;
}

Flow Interpreter::assign(const Target& target, const Value& value) {
  check_storable(value);
  if (target.is_tuple) {
    const SequencePtr items = items_of(value);
    if (items->items.size() != target.names.size()) {
      refuse("assigns {} values to {} names", items->items.size(), target.names.size());
    }
    for (size_t i = 0; i < target.names.size(); ++i) scope_->names[target.names[i]] = items->items[i];
  } else if (target.field.empty()) {
    scope_->names[target.names[0]] = value;
  } else {
    const Value object = visit(Name{target.names[0]});
    const auto* space = object.as<Namespace*>();
    if (space == nullptr || (*space)->is_loop) refuse("'{}' is no namespace", target.names[0]);
    (*space)->fields[target.field] = value;
  }
  return Flow::kNext;
}

template <typename Prepare>
std::string Interpreter::captured(const Block& block, const Scope& outer, Prepare prepare) {
  Scope scope{&outer};
  Scope* before = scope_;
  std::string text;
  text.swap(out_);
  scope_ = &scope;
  prepare();
  execute(block);
  scope_ = before;
  text.swap(out_);
  return text;
}

}  // namespace

std::string render_template(const Block& program, const std::string& origin,
                            const std::vector<std::pair<std::string, Value>>& variables, const std::tm& time) {
  Runtime runtime(time);
  Scope globals;
  globals.names.insert(variables.begin(), variables.end());
  Interpreter interpreter(runtime, globals);
  const auto where = [&](const Error& error) {
    return fmt::format("{}: line {}: {}", origin, interpreter.line(), error.what());
  };
  try {
    interpreter.render(program);
  } catch (const Raised& error) {
    throw Raised(where(error));
  } catch (const Error& error) {
    throw Error(error.kind(), where(error));
  }
  return std::move(interpreter).text();
}

}  // namespace bitloom::jinja
