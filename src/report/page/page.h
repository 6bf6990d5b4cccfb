#pragma once
// One self-contained HTML page: values in, a string out.
//
// Goals: opens without a network, today and in ten years; readable on a phone, in dark mode, on paper, by keyboard and
// by screen reader; complete without scripts (one small script adds arrow keys and details of tokens). Every text is
// escaped: names and model outputs are hostile. The same values give the same bytes.
// Non-goals: templates, themes, interaction beyond looking; knowledge of models or of evaluations.

#include <string>
#include <variant>
#include <vector>

#include "report/plot/plot.h"
#include "report/table.h"

namespace bitloom {

/// The figures that a reader looks for first, large: {"4.53", "true bits per weight", "nominal 4.25"}.
struct KeyFigure {
  std::string value, label, note;
};
struct KeyFigures {
  std::vector<KeyFigure> figures;
};

struct Paragraph {
  std::string text;
};

/// A heading inside a section.
struct Subtitle {
  std::string text;
};

/// A remark that must not be overlooked.
struct Callout {
  enum class Kind { kNote, kWarning } kind = Kind::kNote;
  std::string title;
  std::vector<std::string> lines;
};

/// Name and value pairs.
struct FactList {
  Facts facts;
};

/// The first column names the row. `folded`: shown when the reader unfolds it (long tables).
struct TableBlock {
  std::string caption;
  Table table;
  bool folded = false;
};

/// Text as it is, in a fixed-width face: a recipe, a command.
struct CodeBlock {
  std::string caption, text;
};

/// A model's likely next tokens.
struct TokenChoice {
  std::string text;
  double probability = 0;
};

/// A token of a passage. `value` and the choices belong to the prediction of this token from those before it; the first
/// one may have none (kUnknown).
struct PassageToken {
  std::string text;
  double value = kUnknown;
  std::vector<TokenChoice> reference, model;  // likeliest first
};

/// A passage whose tokens are coloured by a value. A token's details (value, the two models' choices) open when it is
/// pointed at, touched or reached by keyboard, and stand in a folded table as well.
struct Passage {
  std::string title, text;       // text: what the reader sees, a sentence
  std::string value_title;       // with its unit: "KL divergence, nats"
  std::string reference, model;  // names of the two
  std::vector<double> steps;     // ascending limits between colours, at most 6
  std::vector<PassageToken> tokens;
  bool folded = false;  // whether the whole passage is
};

using PageBlock =
    std::variant<KeyFigures, Paragraph, Subtitle, Callout, FactList, TableBlock, CodeBlock, Plot, Passage>;

struct Section {
  std::string title;
  std::vector<PageBlock> blocks;
};

struct Page {
  std::string title;
  std::string summary;  // what the page shows, a sentence or two below the title
  std::vector<Section> sections;
  std::string record;  // JSON of the figures, embedded for programs; "": none
  std::string footer;  // "bitloom 0.1.0"
};

std::string to_html(const Page& page);

}  // namespace bitloom
