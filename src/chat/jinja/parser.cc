#include "chat/jinja/parser.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "base/error.h"
#include "base/text/text.h"
#include "chat/jinja/expression_parser.h"

namespace bitloom::jinja {
namespace {

using Words = std::initializer_list<std::string_view>;

class Parser {
 public:
  Parser(std::string_view source, const std::string& origin) : tokens_(tokenize(source, origin), origin) {}

  Block parse() {
    Block block = parse_block({});
    if (!tokens_.at(TokenKind::kEnd)) tokens_.reject("tag '{}' closes nothing", tokens_.peek(1).text);
    return block;
  }

 private:
  struct Tag {
    std::string_view name;
    Statement::Node (Parser::*parse)();
  };
  static const std::array<Tag, 8> kTags;

  /// Statements up to a tag of one of `ends`, which is not read; all of them without ends.
  Block parse_block(Words ends);
  /// The same as the body of something, up to "{% end %}".
  Block parse_body(std::string_view end, int loops);
  bool at_tag(Words names) const;
  Statement parse_tag();
  void end_tag() { tokens_.expect(TokenKind::kBlockEnd, "the tag's end"); }
  void open_tag(std::string_view name);

  Statement::Node parse_if();
  Statement::Node parse_for();
  Statement::Node parse_set();
  Statement::Node parse_macro();
  Statement::Node parse_call();
  Statement::Node parse_generation();
  template <typename Jump>
  Statement::Node parse_jump();
  Target parse_target(bool allows_field);
  std::vector<MacroParameter> parse_parameters();

  TokenStream tokens_;
  ExpressionParser expressions_{tokens_};
  int blocks_ = 0;  // open ones
  int loops_ = 0;   // open ones that a break can end
};

const std::array<Parser::Tag, 8> Parser::kTags = {{{"if", &Parser::parse_if},
                                                   {"for", &Parser::parse_for},
                                                   {"set", &Parser::parse_set},
                                                   {"macro", &Parser::parse_macro},
                                                   {"call", &Parser::parse_call},
                                                   {"generation", &Parser::parse_generation},
                                                   {"break", &Parser::parse_jump<Break>},
                                                   {"continue", &Parser::parse_jump<Continue>}}};

bool Parser::at_tag(Words names) const {
  return tokens_.at(TokenKind::kBlockBegin) && tokens_.peek(1).kind == TokenKind::kName &&
         std::find(names.begin(), names.end(), tokens_.peek(1).text) != names.end();
}

Block Parser::parse_block(Words ends) {
  if (++blocks_ > kMaxBlockDepth) tokens_.reject("nests blocks more than {} deep", kMaxBlockDepth);
  Block block;
  while (!tokens_.at(TokenKind::kEnd) && !at_tag(ends)) {
    const int line = tokens_.line();
    if (tokens_.at(TokenKind::kText)) {
      block.push_back({line, Text{tokens_.take().text}});
    } else if (tokens_.at(TokenKind::kVariableBegin)) {
      tokens_.take();
      block.push_back({line, Output{expressions_.parse_tuple()}});
      tokens_.expect(TokenKind::kVariableEnd, "'}}'");
    } else {
      block.push_back(parse_tag());
    }
  }
  if (ends.size() > 0 && tokens_.at(TokenKind::kEnd)) tokens_.reject("'{}' is missing", *(ends.end() - 1));
  --blocks_;
  return block;
}

Statement Parser::parse_tag() {
  tokens_.expect(TokenKind::kBlockBegin, "a tag");
  const int line = tokens_.line();
  const std::string name = tokens_.peek().text;
  const auto tag = std::find_if(kTags.begin(), kTags.end(), [&](const Tag& row) { return row.name == name; });
  if (!tokens_.at(TokenKind::kName) || tag == kTags.end()) {
    std::string known;
    for (const Tag& row : kTags) known += fmt::format("{}, ", row.name);
    tokens_.reject("tag {} is not supported here (supported: {}raw)", tokens_.found(), known);
  }
  tokens_.take();
  return {line, (this->*tag->parse)()};
}

void Parser::open_tag(std::string_view name) {
  tokens_.expect(TokenKind::kBlockBegin, "a tag");
  if (!tokens_.skip_name(name)) tokens_.reject("expected '{}', found {}", name, tokens_.found());
}

Block Parser::parse_body(std::string_view end, int loops) {
  const int outer = loops_;
  loops_ = loops;
  end_tag();
  Block body = parse_block({end});
  open_tag(end);
  end_tag();
  loops_ = outer;
  return body;
}

Statement::Node Parser::parse_if() {
  If node;
  do {
    ExpressionPtr test = expressions_.parse_tuple(false);
    end_tag();
    node.branches.emplace_back(std::move(test), parse_block({"elif", "else", "endif"}));
    tokens_.take();
  } while (tokens_.skip_name("elif"));
  if (tokens_.skip_name("else")) {
    end_tag();
    node.otherwise = parse_block({"endif"});
    tokens_.take();
  }
  if (!tokens_.skip_name("endif")) tokens_.reject("expected 'endif', found {}", tokens_.found());
  end_tag();
  return node;
}

Statement::Node Parser::parse_for() {
  For node;
  node.target = parse_target(false);
  if (!tokens_.skip_name("in")) tokens_.reject("expected 'in', found {}", tokens_.found());
  node.items = expressions_.parse_tuple(false);
  if (tokens_.skip_name("if")) node.condition = expressions_.parse();
  if (tokens_.at_name("recursive")) tokens_.reject("'recursive' is not supported");
  end_tag();
  ++loops_;
  node.body = parse_block({"else", "endfor"});
  --loops_;
  tokens_.take();
  if (tokens_.skip_name("else")) {
    end_tag();
    node.otherwise = parse_block({"endfor"});
    tokens_.take();
  }
  if (!tokens_.skip_name("endfor")) tokens_.reject("expected 'endfor', found {}", tokens_.found());
  end_tag();
  return node;
}

Target Parser::parse_target(bool allows_field) {
  Target target;
  const bool parentheses = tokens_.skip_operator("(");
  do {
    target.names.push_back(tokens_.expect_name());
    if (tokens_.at_operator(",")) target.is_tuple = true;
  } while (tokens_.skip_operator(","));
  if (parentheses) tokens_.expect_operator(")");
  constexpr std::string_view kReserved[] = {"true", "false", "none", "True", "False", "None"};
  for (const std::string& name : target.names) {
    const bool reserved = std::find(std::begin(kReserved), std::end(kReserved), name) != std::end(kReserved);
    if (reserved) tokens_.reject("'{}' cannot be assigned to", name);
  }
  if (!tokens_.at_operator(".")) return target;
  if (!allows_field || target.is_tuple) tokens_.reject("only 'set' with one target assigns to a namespace");
  tokens_.take();
  target.field = tokens_.expect_name();
  if (target.field[0] == '_') tokens_.reject("'{}': a namespace has no names that begin with '_'", target.field);
  return target;
}

Statement::Node Parser::parse_set() {
  Target target = parse_target(true);
  if (tokens_.skip_operator("=")) {
    ExpressionPtr value = expressions_.parse_tuple();
    end_tag();
    return Set{std::move(target), std::move(value)};
  }
  SetBlock node{std::move(target), {}, {}};
  if (node.target.is_tuple) tokens_.reject("a block is assigned to one name");
  while (tokens_.skip_operator("|")) node.filters.push_back(expressions_.parse_filter(nullptr));
  node.body = parse_body("endset", 0);
  return node;
}

std::vector<MacroParameter> Parser::parse_parameters() {
  std::vector<MacroParameter> parameters;
  tokens_.expect_operator("(");
  while (!tokens_.at_operator(")")) {
    if (!parameters.empty()) tokens_.expect_operator(",");
    MacroParameter parameter{tokens_.expect_name(), nullptr};
    if (tokens_.skip_operator("=")) {
      parameter.otherwise = expressions_.parse();
    } else if (!parameters.empty() && parameters.back().otherwise) {
      tokens_.reject("parameter '{}' without a default follows one with a default", parameter.name);
    }
    parameters.push_back(std::move(parameter));
  }
  tokens_.expect_operator(")");
  return parameters;
}

Statement::Node Parser::parse_macro() {
  Macro node;
  node.name = tokens_.expect_name();
  node.parameters = parse_parameters();
  node.body = parse_body("endmacro", 0);
  return node;
}

Statement::Node Parser::parse_call() {
  auto caller = std::make_unique<Macro>();
  caller->name = "caller";
  if (tokens_.at_operator("(")) caller->parameters = parse_parameters();
  ExpressionPtr call = expressions_.parse();
  if (!std::holds_alternative<Call>(call->node)) tokens_.reject("'call' needs a call of a macro");
  caller->body = parse_body("endcall", 0);
  return CallBlock{std::move(caller), std::move(call)};
}

Statement::Node Parser::parse_generation() { return Generation{parse_body("endgeneration", 0)}; }

template <typename Jump>
Statement::Node Parser::parse_jump() {
  if (loops_ == 0) tokens_.reject("'break' and 'continue' belong in a loop");
  end_tag();
  return Jump{};
}

}  // namespace

Block parse_template(std::string_view source, const std::string& origin) {
  if (source.size() > kMaxTemplate) refuse("{}: {} bytes of template, at most {}", origin, source.size(), kMaxTemplate);
  if (const size_t bad = first_invalid_utf8(source); bad < source.size()) {
    refuse("{}: byte {} of the template is no UTF-8", origin, bad);
  }
  return Parser(source, origin).parse();
}

}  // namespace bitloom::jinja
