// What a template is refused for, and in which words: constructs outside the subset, bounds, the template's own
// refusal.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "chat/chat_template.h"
#include "io/test_support.h"

namespace bitloom {
namespace {

using testing::message_of;

std::string refused(const std::string& text) {
  return message_of(ErrorKind::kRefused, [&] {
    ChatTemplate(text, "t.jinja", {{"bos_token", "<s>"}}).render({{"user", "Hi"}});
  });
}

struct Case {
  const char* text;
  const char* message;  // after "t.jinja: line "
};

TEST(ChatRefusal, NamesTheLineAndTheConstruct) {
  const Case cases[] = {
      {"a\n{% include 'x' %}",
       "2: tag 'include' is not supported here (supported: if, for, set, macro, call, generation, break, continue, "
       "raw)"},
      {"{% for x in y recursive %}{% endfor %}", "1: 'recursive' is not supported"},
      {"{{ 1 }}\n\n{{ 'x' |\n nonsense }}", "4: filter 'nonsense' is not supported"},
      {"{{ 1 is\nodd }}", "2: test 'odd' is not supported"},
      {"{{ 'x'.center(5) }}", "1: attribute 'center' of a value of type str is not supported"},
      {"{{ messages.append(1) }}", "1: attribute 'append' of a value of type list is not supported"},
      {"{{ {}.copy() }}", "1: attribute 'copy' of a value of type dict is not supported"},
      {"{{ 5 .real }}", "1: attribute 'real' of a value of type int is not supported"},
      {"{{ ''.__class__ }}", "1: attribute '__class__' of a value of type str is not supported"},
      {"{{ range(3) }}", "1: prints a value of type range, whose text depends on Python"},
      {"{{ [1] | map('string') }}", "1: prints a value of type iterator, whose text depends on Python"},
      {"{{ {}.items() }}", "1: prints a value of type dict view, whose text depends on Python"},
      {"{{ namespace() }}", "1: prints a value of type namespace, whose text depends on Python"},
      {"{{ range }}", "1: prints a value of type function, whose text depends on Python"},
      {"{{ joiner() }}", "1: 'joiner' is not supported"},
      {"{{ '%d' % 5 }}", "1: '%' of a text (printf formatting) is not supported"},
      {"{{ {1: 2} }}", "1: a dict's key of type int is not supported"},
      {"{{ [1][0, 1] }}", "1: an index of several values is not supported"},
      {"{{ dict(*x) }}", "1: '*' in a call is not supported"},
      {"{{ 1 | tojson(ensure_ascii=true) }}", "1: 'tojson' with ensure_ascii is not supported"},
      {"{{ '1_0' | int }}", "1: 'int' of '1_0' is not supported"},
      {"{{ '\\ud800' }}", "1: 'd800' in a string is no character's number"},
      {"{{ '\\N{DASH}' }}", "1: '\\N' in a string is not supported"},
      {"{{ 99999999999999999999 }}", "1: the number 99999999999999999999 is not supported"},
      {"{{ 9223372036854775807 + 1 }}", "1: '+' exceeds 64-bit integers"},
      {"{{ 10 ** 19 }}", "1: '**' exceeds 64-bit integers"},
      {"{{ strftime_now('%c') }}", "1: 'strftime_now' of the format '%c' is not supported"},
      {"{% for i in [1] %}{% macro m() %}{% endmacro %}{% endfor %}",
       "1: a macro inside a loop, macro or block is not supported"},
      {"{% for i in [1] %}{% set l = loop %}{% endfor %}", "1: keeps 'loop' itself, which is not supported"},
      {"{% set ns = namespace() %}{% macro m() %}{% set ns.c = caller %}{% endmacro %}{% call m() %}{% endcall %}"
       "{{ ns.c() }}",
       "1: 'caller' is called after its block has ended"},
      {"{% set g = [1] | map('string') %}{{ g | join }}{{ g | join }}",
       "1: reads an iterator a second time, when it is empty; make it a list first"},
      {"{{ 'x' | default(1, 2, 3) }}", "1: 'default' takes other arguments: default_value? boolean?"},
      {"{{ 'x'.replace('a') }}", "1: 'replace' needs a value for 'new'"},
      {"{{ 'x'.strip(chars='a', chars='b') }}", "1: gives 'chars' twice"},
      {"{{ 'x'.split(5) }}", "1: 'split' takes a text, not a value of type int"},
      {"{{ missing.x }}", "1: 'missing' is undefined, and so no attribute 'x'"},
      {"{{ messages[0].tools.x }}", "1: a value of type dict has no attribute 'tools', and so no attribute 'x'"},
      {"{{ missing() }}", "1: 'missing' is undefined, and so cannot be called"},
      {"{{ 'a' + 1 }}", "1: '+' of str and int is not defined"},
      {"{{ 1 < 'a' }}", "1: compares int with str, which have no order"},
      {"a\n{{ raise_exception('roles must take turns') }}",
       "2: the template refuses the conversation: roles must take turns"},
      {"{% if 1 %}\n", "1: 'endif' is missing"},
      {"a\n{{ 1", "2: a tag is not closed"},
      {"{# a", "1: a comment is not closed"},
      {"\n{% raw %}", "2: 'raw' has no 'endraw'"},
      {"{{ 'a }}", "1: a string is not closed"},
      {"{{ 1 ] }}", "1: ']' closes nothing"},
      {"{{ \xC3\xA9 }}", "1: '\xC3\xA9' begins no token"},
      {"{% endif %}",
       "1: tag 'endif' is not supported here (supported: if, for, set, macro, call, generation, break, "
       "continue, raw)"},
      {"{{ 1 2 }}", "1: expected '}}', found '2'"},
      {"{{ a is b is c }}", "1: 'is' cannot follow another test"},
  };
  for (const Case& example : cases) {
    EXPECT_EQ(refused(example.text), std::string("t.jinja: line ") + example.message) << example.text;
  }
}

std::string repeated(const std::string& text, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

// Each would exhaust memory, the stack or patience.
TEST(ChatRefusal, HostileTemplatesEndSoon) {
  const std::pair<std::string, std::string> cases[] = {
      {"{{ " + repeated("(", 5000) + "1" + repeated(")", 5000) + " }}", "nests expressions more than 120 deep"},
      {"{{ " + repeated("-", 5000) + "1 }}", "nests expressions more than 120 deep"},
      {"{{ " + repeated("not ", 5000) + "1 }}", "nests expressions more than 120 deep"},
      {"{{ 1" + repeated("+1", 5000) + " }}", "nests expressions more than 120 deep"},
      {"{{ x" + repeated("|trim", 5000) + " }}", "nests expressions more than 120 deep"},
      {"{{ x" + repeated("[0]", 5000) + " }}", "nests expressions more than 120 deep"},
      {"{{ 1" + repeated(" if 1 else 1", 5000) + " }}", "nests expressions more than 120 deep"},
      {repeated("{% if 1 %}", 5000), "nests blocks more than 40 deep"},
      {repeated("{% for x in y %}", 5000), "nests blocks more than 40 deep"},
      {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nests evaluations more than 400 deep"},
      {"{% set ns = namespace(x=[]) %}{% for i in range(1000) %}{% set ns.x = [ns.x] %}{% endfor %}",
       "nests values more than 60 deep"},
      {"{{ 'x' * 999999999999 }}", "makes a text of"},
      {"{{ [1] * 99999999 }}", "makes a text of"},
      {"{% set ns = namespace(x='xxxxxxxxxxxxxxxx') %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor "
       "%}",
       "makes a text of"},
      {"{{ ('x' * 9999999).replace('', 'abc') }}", "makes a text of"},
      {"{{ ('x' * 9999999).split('x') }}", "makes a text of"},
      {"{% for i in range(100000) %}{{ 'x' * 10000 }}{% endfor %}", "makes a text of"},
      {"{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "takes more than"},
      {"{% for i in range(100000) %}{% for c in 'x' * 100000 %}{% endfor %}{% endfor %}", "takes more than"},
      {"{% for i in range(100000) %}{% set n = namespace() %}{% endfor %}", "takes more than"},
      {"{% set x = 'x' * 9999999 %}{% for i in range(100000) %}{% if x | upper == x | lower %}{% endif %}{% endfor %}",
       "makes more than 536870912 bytes"},
      {"{{ range(-9223372036854775807, 9223372036854775807) | list }}", "'range' of more than 100000 integers"},
      {"{{ range(0, 9223372036854775807, 9223372036854775800) | list }}{{ 'x'[::9223372036854775807] }}"
       "{{ 'abc'[-9223372036854775807:9223372036854775807:-9223372036854775807] }}{{ missing.x }}",
       "'missing' is undefined"},
  };
  for (const auto& [text, message] : cases)
    EXPECT_THAT(refused(text), ::testing::HasSubstr(message)) << text.substr(0, 80);
}

}  // namespace
}  // namespace bitloom
