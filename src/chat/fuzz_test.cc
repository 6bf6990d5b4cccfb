// Mutated templates: rendered or refused, never a crash. Fixed seeds, so a failure repeats.
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "base/error.h"
#include "base/text/text.h"
#include "chat/chat_template.h"
#include "io/json.h"

namespace bitloom {
namespace {

using Random = std::mt19937;

size_t below(Random& random, size_t limit) { return random() % limit; }

/// Pieces of Jinja, which get further than random bytes do. None of them has an @.
const std::vector<std::string>& pieces() {
  static const std::vector<std::string> kPieces = [] {
    std::vector<std::string> all = split(
        "{{@}}@{%@%}@{#@#}@{%-@-%}@{% if @{% endif %}@{% for x in @{% endfor %}@{% else %}@{% set x = @{% set ns.x = @"
        "{% raw %}@{% endraw %}@{% macro m(a) %}@{% endmacro %}@{% break %}@namespace()@messages@message@loop@"
        "loop.index0@none@true@''@'a'@\"@'@\\@0@-1@9223372036854775807@1.5@[@]@(@)@{@}@.@,@:@|@~@+@-@*@/@//@%@**@==@<@"
        " in @ not @ and @ or @ is @ if @ else @|trim@|tojson@|length@|join(',')@|list@|first@|map('upper')@"
        "|selectattr('role')@.split()@.items()@[1:]@[::-1]@range(9)@defined@\n@ @\xC3\xA9@\xFF",
        '@');
    all.emplace_back(1, '\0');
    return all;
  }();
  return kPieces;
}

std::string mutated(std::string text, Random& random) {
  for (size_t n = 1 + below(random, 4); n > 0 && !text.empty(); --n) {
    const size_t at = below(random, text.size());
    switch (below(random, 4)) {
      case 0:
        text.erase(at, 1 + below(random, 12));
        break;
      case 1:
        text.insert(at, text.substr(below(random, text.size()), 1 + below(random, 40)));
        break;
      case 2:
        text.replace(at, 1 + below(random, 5), pieces()[below(random, pieces().size())]);
        break;
      default:
        text.insert(at, pieces()[below(random, pieces().size())]);
        break;
    }
  }
  return text;
}

/// Whether it was rendered; any exception but ours fails the test.
bool try_render(const std::string& text) {
  try {
    ChatTemplate(text, "fuzz", {{"bos_token", "<s>"}, {"eos_token", "</s>"}})
        .render({{"system", " S "}, {"user", "h\u00E9llo\n"}, {"assistant", ""}, {"user", "x"}});
    return true;
  } catch (const Error&) {
    return false;
  }
}

void fuzz(const std::vector<std::string>& seeds, int rounds, uint32_t seed) {
  Random random(seed);
  int rendered = 0;
  for (int round = 0; round < rounds; ++round) {
    rendered += try_render(mutated(seeds[below(random, seeds.size())], random));
  }
  // Both ways out are taken, or the mutations are of no use.
  EXPECT_GT(rendered, rounds / 50);
  EXPECT_LT(rendered, rounds * 9 / 10);
}

TEST(ChatFuzz, MutatedTemplates) {
  std::vector<std::string> seeds;
  for (const auto& entry : std::filesystem::directory_iterator("tests/golden/chat/templates")) {
    seeds.push_back(read_text(entry.path().string()));
  }
  std::sort(seeds.begin(), seeds.end());
  ASSERT_FALSE(seeds.empty());
  fuzz(seeds, 3000, 11);
}

TEST(ChatFuzz, MutatedSnippets) {
  std::vector<std::string> seeds;
  const Json golden = read_json("tests/golden/chat/snippets.json");
  for (const Json& example : golden.at("cases")) seeds.push_back(example.at("template"));
  fuzz(seeds, 15000, 12);
}

TEST(ChatFuzz, PiecesInAnyOrder) {
  Random random(13);
  for (int round = 0; round < 10000; ++round) {
    std::string text = below(random, 2) == 0 ? "{{ " : "";
    for (size_t n = below(random, 12); n > 0; --n) text += pieces()[below(random, pieces().size())];
    try_render(text);
  }
}

}  // namespace
}  // namespace bitloom
