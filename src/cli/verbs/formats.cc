#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/text/text.h"
#include "cli/commands.h"
#include "cli/flags/common_flags.h"
#include "cli/verb.h"
#include "cli/verbs/format_errors.h"
#include "format/expected_error/density.h"
#include "format/families/grid/grid_storage.h"
#include "format/format_info.h"
#include "format/named_format.h"
#include "format/storage.h"
#include "format/table/fitted_table.h"
#include "format/table/power_products.h"
#include "report/numbers.h"
#include "report/table.h"
#include "round/plain_error.h"

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
      "or hqq+affineB-gN, as spqr+affine3-g16-s3x16: codes with a scale and a real zero point,\n"
      "or ldlq+trellisB+frame-in512-out512 (B from 1 to 5 in halves): a trellis code of rotated weights,\n"
      "or ldlq+e8p+frame-in512-out512: points of a lattice, 8 weights in 16 bits,\n"
      "or aqlm+aqMxB-gG, as aqlm+aq2x8-g8: sums of M vectors of G weights from codebooks of 2^B,\n"
      "or gptvq+vqB-gG, as gptvq+vq8-g4: vectors of G weights from codebooks of 2^B for blocks of a matrix.\n" +
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
  if (const auto scheme = scheme_of(name)) return scheme->format;
  return named_format("formats", name);
}

std::string codes_table(const std::vector<CodeInfo>& codes, bool bold) {
  Table table({{"code"}, {"bits", Align::kLeft}, {"value"}, {"meaning", Align::kLeft}});
  for (const CodeInfo& code : codes)
    table.add({fmt::format("0x{:02X}", code.code), code.bits, level_text(code.value), code.meaning});
  return table.to_text(bold);
}

/// Of a power grid: what sums of its products cost and err by (format/table/power_products.h).
void add_products(const Format& format, Json& record, Facts& facts) {
  const auto* table = std::get_if<TableFormat>(&format);
  if (table == nullptr || !exponent_of(*table) || fit_request(*table)) return;
  constexpr int64_t kTerms = 576;
  const PowerGap gap = power_gap(*table, kTerms);
  const auto entries = static_cast<int64_t>(PowerProducts(*table, *table).table().size());
  record["products"] = {{"entries", entries},
                        {"terms", kTerms},
                        {"error_product_table", gap.product_table},
                        {"error_output_power", gap.output_power},
                        {"error_output_power_scaled", gap.output_power_scaled}};
  facts.push_back({"products", fmt::format("a table of {} integers of 16 bits; sums of {} err by {}", entries, kTerms,
                                           format_significant(gap.product_table, 2))});
  facts.push_back({"power after the sum", fmt::format("such sums err by {}, with the best factor by {}",
                                                      format_significant(gap.output_power, 2),
                                                      format_significant(gap.output_power_scaled, 2))});
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
  add_products(format, record, facts);
  if (const auto scheme = scheme_of(name)) {
    const double bits = nominal_bits(*scheme, 4096, 4096);
    record["scheme"] = {{"name", name}, {"bits_nominal", bits}, {"storage", to_string(*scheme)}};
    facts.insert(facts.begin(), {"scheme", fmt::format("{}: numbers of {} and their scales, {} bits nominal", name,
                                                       info.name, format_bits(bits))});
  }
  session.show(record, facts_text(facts) + "\n" + codes_table(codes, session.bold()));
}

/// Storages on both sides of what a bit is worth.
const std::vector<std::string>& league() {
  static const std::vector<std::string> storages = {"trellis1",
                                                    "trellis1.5",
                                                    "trellis2",
                                                    "trellis2-v1",
                                                    "trellis2.5",
                                                    "trellis3",
                                                    "trellis3-v2",
                                                    "trellis3.5",
                                                    "trellis4",
                                                    "trellis5",
                                                    "codebook1-tensor",
                                                    "codebook2-tensor",
                                                    "codebook3-tensor",
                                                    "codebook4-tensor",
                                                    "int2-g128-mse",
                                                    "int3-g128-mse",
                                                    "int4-g128",
                                                    "int4-g128-mse",
                                                    "int4-g32-mse",
                                                    "nf4-g64",
                                                    "iq4nl-g32-mse",
                                                    "mxfp4",
                                                    "nvfp4",
                                                    "int8-g128"};
  return storages;
}

/// The mean squared error of rounding normal weights of variance 1. No code of b bits is below 2^-2b.
void show_errors(const std::vector<std::string>& names, Session& session) {
  constexpr int64_t kSide = 256;  // tells an error to 0.6 %
  const std::vector<std::string> storages = names.empty() ? league() : names;
  Table table({{"storage", Align::kLeft}, {"bits true"}, {"MSE"}, {"bound 2^-2b"}, {"dB above"}});
  Json records = Json::array();
  const ProgressTask task(session.progress(), "rounding normal weights", std::ssize(storages));
  for (const std::string& storage : storages) {
    const PlainError plain = plain_error_of_normal(parse_target(storage), kSide, kSide, session.context().threads);
    const double bound = std::exp2(-2 * plain.bits), above = 10 * std::log10(plain.error / bound);
    table.add({storage, format_bits(plain.bits), format_significant(plain.error, 3), format_significant(bound, 3),
               fmt::format("{:.2f}", above)});
    records.push_back(
        {{"storage", storage}, {"bits_true", plain.bits}, {"mse", plain.error}, {"db_above_bound", above}});
    session.progress().advance(1, storage);
  }
  session.show({{"weights", kSide * kSide}, {"storages", std::move(records)}}, table.to_text(session.bold()));
}

struct Flags {
  std::vector<std::string> names;
  std::string errors, sqnr, plot;
};

void formats(const Flags& flags, Session& session) {
  if (!flags.plot.empty() && flags.sqnr.empty()) misuse("formats: --plot is of --sqnr");
  if (!flags.sqnr.empty()) return show_expected_errors(flags.sqnr, flags.names, flags.plot, session);
  if (!flags.errors.empty()) return show_errors(flags.names, session);
  if (flags.names.size() > 1) misuse("formats: several NAMEs are for --sqnr and --mse; without, give one");
  flags.names.empty() ? list(session) : print(flags.names.front(), session);
}

std::string check_distribution(const std::string& text) {
  return text == "gaussian" ? "" : fmt::format("'{}' is no distribution of weights; there is: gaussian", text);
}

std::string check_named(const std::string& text) {
  return text.empty() ? fmt::format("'' is no distribution; there are: {}, FILE:TENSOR", density_spellings()) : "";
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  app.add_option("NAME", flags->names,
                 "print every code of this format, or of this scheme's format, with its value; with --sqnr formats, "
                 "with --mse storages")
      ->type_name("NAME...");
  auto* mse = app.add_option("--mse", flags->errors, "mean squared errors on weights of this distribution: gaussian")
                  ->type_name("DISTRIBUTION")
                  ->check(check_distribution);
  app.add_option("--sqnr", flags->sqnr,
                 "expected error over the clip value, by theory: gaussian, uniform, student-t:NU (2.001 to 1000), "
                 "outliers, or the numbers of a model's or a safetensors file's tensor, FILE:TENSOR")
      ->type_name("DISTRIBUTION")
      ->check(check_named)
      ->excludes(mse);
  app.add_option("--plot", flags->plot, "also write the curves of --sqnr as an SVG picture")->type_name("FILE");
  add_threads_flag(app, session);
  add_json_flag(app, session);
  return [flags, &session] { formats(*flags, session); };
}

}  // namespace

Verb formats_verb() {
  return {"formats",
          "which numbers can be stored: list the formats, or print one in full",
          "[NAME...] [flags]",
          {"bitloom formats e2m1", "bitloom formats int8 e4m3 --sqnr student-t:8 --plot /tmp/sqnr.svg"},
          setup};
}

}  // namespace bitloom
