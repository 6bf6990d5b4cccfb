#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/flags/common_flags.h"
#include "cli/verb.h"
#include "format/families/grid/grid_storage.h"
#include "format/format_info.h"
#include "format/storage.h"
#include "report/numbers.h"
#include "report/table.h"

namespace bitloom {
namespace {

// The shortest text that identifies the fp32.
std::string level_text(float value) { return fmt::format("{}", value); }

// JSON has no Inf and no NaN.
Json level_json(float value) {
  if (std::isfinite(value)) return value;
  return level_text(value);
}

Json record_of(const FormatInfo& info) {
  return {{"name", info.name},
          {"family", info.family},
          {"bits", info.bits},
          {"levels", info.levels},
          {"min_positive", info.min_positive},
          {"min", info.min},
          {"max", info.max},
          {"special", info.special},
          {"note", info.note}};
}

Json schemes_record() {
  Json schemes = Json::array();
  for (const std::string& name : named_schemes()) {
    const GridStorage storage = parse_grid(name);
    schemes.push_back({{"name", name},
                       {"format", name_of(storage.format)},
                       {"group", storage.granularity.group},
                       {"bits_nominal", nominal_bits(storage, 4096, 4096)}});
  }
  return schemes;
}

std::string formats_table(const std::vector<FormatInfo>& formats, bool bold) {
  Table table(
      {{"format", Align::kLeft}, {"bits"}, {"levels"}, {"min positive"}, {"min"}, {"max"}, {"what", Align::kLeft}});
  for (const FormatInfo& info : formats)
    table.add({info.name, fmt::format("{}", info.bits), fmt::format("{}", info.levels),
               info.min_positive > 0 ? fmt::format("{:.6g}", info.min_positive) : "-", fmt::format("{:.6g}", info.min),
               fmt::format("{:.6g}", info.max), info.note});
  return table.to_text(bold);
}

std::string schemes_table(bool bold) {
  Table table({{"scheme", Align::kLeft}, {"format", Align::kLeft}, {"group"}, {"bits nominal"}});
  for (const std::string& name : named_schemes()) {
    const GridStorage storage = parse_grid(name);
    table.add({name, name_of(storage.format), fmt::format("{}", storage.granularity.group),
               format_bits(nominal_bits(storage, 4096, 4096))});
  }
  return table.to_text(bold);
}

void list(Session& session) {
  const std::vector<FormatInfo> formats = format_table();
  Json records = Json::array();
  for (const FormatInfo& info : formats) records.push_back(record_of(info));
  const std::string text =
      formats_table(formats, session.bold()) + "\n" + schemes_table(session.bold()) +
      "\nA recipe is a scheme, or FORMAT[-gN|-row|-tensor][-asym][-mse], as int4-g128 or e2m1-g16,\n"
      "or kmeans+codebookB-col, -row, -gN or -tensor, as kmeans+codebook2.5-col: tables of 2^B fp16 levels,\n"
      "or ldlq+trellisB+frame-in512-out512 (B from 1 to 5 in halves): a trellis code of rotated weights.\n" +
      as_started("'bitloom formats NAME' prints every code of a format.\n");
  session.show({{"formats", records}, {"schemes", schemes_record()}}, text);
}

/// "int4-g32", "nvfp4": a format and who shares a scale.
std::optional<GridStorage> scheme_of(const std::string& name) {
  if (find_format(name)) return std::nullopt;
  try {
    return parse_grid(name);
  } catch (const Error&) {
    return std::nullopt;
  }
}

Format require_format(const std::string& name) {
  if (const auto format = find_format(name)) return *format;
  if (const auto scheme = scheme_of(name)) return scheme->format;
  const std::vector<std::string> names = format_names();
  misuse("formats: unknown format '{}'{}; there are: {}", name, did_you_mean(name, names), fmt::join(names, ", "));
}

std::string codes_table(const std::vector<CodeInfo>& codes, bool bold) {
  Table table({{"code"}, {"bits", Align::kLeft}, {"value"}, {"meaning", Align::kLeft}});
  for (const CodeInfo& code : codes)
    table.add({fmt::format("0x{:02X}", code.code), code.bits, level_text(code.value), code.meaning});
  return table.to_text(bold);
}

void print(const std::string& name, Session& session) {
  const Format format = require_format(name);
  const FormatInfo info = describe(format);
  const std::vector<CodeInfo> codes = code_table(format);
  Json record = record_of(info);
  record["codes"] = Json::array();
  for (const CodeInfo& code : codes)
    record["codes"].push_back(
        {{"code", code.code}, {"bits", code.bits}, {"value", level_json(code.value)}, {"meaning", code.meaning}});
  Facts facts = {{"format", info.name},
                 {"family", info.family},
                 {"what", info.note},
                 {"bits", fmt::format("{}", info.bits)},
                 {"levels", fmt::format("{} from {} to {}", info.levels, level_text(info.min), level_text(info.max))}};
  if (info.min_positive > 0) facts.push_back({"least positive", level_text(info.min_positive)});
  if (!info.special.empty()) facts.push_back({"special codes", info.special});
  if (const auto scheme = scheme_of(name)) {
    const double bits = nominal_bits(*scheme, 4096, 4096);
    record["scheme"] = {{"name", name}, {"bits_nominal", bits}, {"storage", to_string(*scheme)}};
    facts.insert(facts.begin(), {"scheme", fmt::format("{}: numbers of {} and their scales, {} bits nominal", name,
                                                       info.name, format_bits(bits))});
  }
  session.show(record, facts_text(facts) + "\n" + codes_table(codes, session.bold()));
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto name = std::make_shared<std::string>();
  app.add_option("NAME", *name, "print every code of this format, or of this scheme's format, with its value");
  add_json_flag(app, session);
  return [name, &session] { name->empty() ? list(session) : print(*name, session); };
}

}  // namespace

Verb formats_verb() {
  return {"formats",
          "which numbers can be stored: list the formats, or print one in full",
          "[NAME] [flags]",
          {"bitloom formats", "bitloom formats e2m1"},
          setup};
}

}  // namespace bitloom
