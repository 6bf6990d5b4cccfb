#include "cli/flags/flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <deque>

#include "base/error.h"
#include "base/text/text.h"

namespace bitloom {

struct FlagSet::Parser {
  CLI::App app;
  std::string verb;
  std::deque<Flag> flags;  // whose addresses are given out
};

namespace {

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_snames()) flags.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  return flags;
}

struct ForeignFlag {
  std::string_view theirs, ours;
};

// What llama.cpp, transformers, vLLM, GPTQ's and lm_eval's scripts call what we have, with '-' for '_'.
constexpr std::array kForeignFlags = {ForeignFlag{"--n-predict", "--tokens"},
                                      ForeignFlag{"--predict", "--tokens"},
                                      ForeignFlag{"--num-predict", "--tokens"},
                                      ForeignFlag{"--max-tokens", "--tokens"},
                                      ForeignFlag{"--max-new-tokens", "--tokens"},
                                      ForeignFlag{"--n-gen", "--tokens"},
                                      ForeignFlag{"--n-prompt", "--prompt"},
                                      ForeignFlag{"--temperature", "--temp"},
                                      ForeignFlag{"--repetition-penalty", "--repeat-penalty"},
                                      ForeignFlag{"-cnv", "--chat"},
                                      ForeignFlag{"--conversation", "--chat"},
                                      ForeignFlag{"-i", "--chat"},
                                      ForeignFlag{"--interactive", "--chat"},
                                      ForeignFlag{"-sys", "--system"},
                                      ForeignFlag{"--system-prompt", "--system"},
                                      ForeignFlag{"-s", "--seed"},
                                      ForeignFlag{"--random-seed", "--seed"},
                                      ForeignFlag{"--ctx-size", "--context"},
                                      ForeignFlag{"--n-ctx", "--context"},
                                      ForeignFlag{"--chunks", "--windows"},
                                      ForeignFlag{"--nsamples", "--samples"},
                                      ForeignFlag{"--n-samples", "--samples"},
                                      ForeignFlag{"--num-samples", "--samples"},
                                      ForeignFlag{"--num-calibration-samples", "--samples"},
                                      ForeignFlag{"--seqlen", "--seq"},
                                      ForeignFlag{"--seq-len", "--seq"},
                                      ForeignFlag{"--max-seq-length", "--seq"},
                                      ForeignFlag{"--dataset", "--calib"},
                                      ForeignFlag{"--scheme", "--recipe"},
                                      ForeignFlag{"--bits", "--recipe"},
                                      ForeignFlag{"--wbits", "--recipe"},
                                      ForeignFlag{"--outfile", "--output"},
                                      ForeignFlag{"--output-dir", "--output"},
                                      ForeignFlag{"--output-path", "--output"}};

constexpr std::array<std::string_view, 5> kGpuFlags = {"-ngl", "--n-gpu-layers", "--gpu-layers", "--device",
                                                       "--tensor-parallel-size"};

/// ": it is --tokens here" about a flag of another tool; "" where none is known.
std::string foreign_flag(const CLI::App& app, std::string flag) {
  std::replace(flag.begin(), flag.end(), '_', '-');
  if (std::find(kGpuFlags.begin(), kGpuFlags.end(), flag) != kGpuFlags.end()) {
    return ": bitloom computes on the CPU alone";
  }
  for (const ForeignFlag& row : kForeignFlags) {
    if (row.theirs != flag || app.get_option_no_throw(std::string(row.ours)) == nullptr) continue;
    return fmt::format(": it is {} here", row.ours);
  }
  return "";
}

std::string shown_name(const CLI::Option& option) {
  return option.get_positional() ? option.get_name(true) : "--" + option.get_lnames().front();
}

// CLI11's complaints in our words.
std::string complaint(const CLI::App& app, const CLI::ParseError& error) {
  const std::string text = error.what();
  for (const CLI::Option* option : app.get_options())
    if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && option->get_required() && option->count() == 0)
      return shown_name(*option) + " is required";
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    for (const CLI::Option* option : app.get_options())
      if (option->get_items_expected_max() == 1 && option->results().size() > 1)
        return shown_name(*option) + " is given twice";
    return text.substr(0, text.find(':')) + " needs a value";
  }
  constexpr std::string_view kConversion = "Could not convert: ";  // only numbers are converted
  if (!text.starts_with(kConversion)) return text;
  const std::string pair = text.substr(kConversion.size());  // "--temp = hot"
  const size_t at = pair.find(" = ");
  return at == pair.npos ? pair + ": no number"
                         : fmt::format("{}: '{}' is no number", pair.substr(0, at), pair.substr(at + 3));
}

// CLI11 reports a missing flag before an unknown one, but the unknown one is usually the missing one misspelt.
[[noreturn]] void refuse_flags(const std::string& verb, const CLI::App& app, const std::vector<std::string>& arguments,
                               const CLI::ParseError& error) {
  const std::string hint = fmt::format("; see 'bitloom {} --help'", verb);
  // As they were typed: CLI11 takes -ngl for -n gl.
  for (const std::string& word : arguments) {
    const std::string flag = word.substr(0, word.find('='));
    if (app.get_option_no_throw(flag) != nullptr) continue;
    if (const std::string known = foreign_flag(app, flag); !known.empty()) {
      misuse("{}: unknown flag {}{}{}", verb, flag, known, hint);
    }
  }
  const std::vector<std::string> rest = app.remaining();
  for (const std::string& word : rest) {
    if (word.size() < 2 || word[0] != '-') continue;
    const std::string flag = word.substr(0, word.find('='));
    const std::string guess = flag.starts_with("--") ? did_you_mean(flag, flags_of(app)) : "";
    misuse("{}: unknown flag {}{}{}", verb, flag, guess, hint);
  }
  const bool lacks_text = app.get_option_no_throw("--prompt") != nullptr && app.count("--prompt") == 0;
  if (!rest.empty()) {
    misuse("{}: unexpected argument '{}'{}{}", verb, rest.front(), lacks_text ? "; a text goes behind -p" : "", hint);
  }
  misuse("{}: {}{}", verb, complaint(app, error), hint);
}

std::string flag_names(const CLI::Option& option) {
  if (option.get_positional()) return option.get_name(true);
  std::string names;
  for (const std::string& name : option.get_snames()) names += (names.empty() ? "-" : ", -") + name;
  if (names.empty()) names = "   ";
  for (const std::string& name : option.get_lnames()) names += (names == "   " ? " --" : ", --") + name;
  if (option.get_items_expected_max() > 0) names += " " + option.get_type_name();
  return names;
}

std::string flag_text(const CLI::Option& option) {
  std::string text = option.get_description();
  if (!option.get_default_str().empty()) text += fmt::format(" (default {})", option.get_default_str());
  return text;
}

}  // namespace

Flag* Flag::type_name(const std::string& name) {
  option_->type_name(name);
  return this;
}

Flag* Flag::required() {
  option_->required();
  return this;
}

Flag* Flag::capture_default_str() {
  option_->capture_default_str();
  return this;
}

Flag* Flag::check(const std::function<std::string(const std::string&)>& check) {
  option_->check(check);
  return this;
}

Flag* Flag::each(const std::function<void(const std::string&)>& action) {
  option_->each(action);
  return this;
}

Flag* Flag::value_optional() {
  option_->expected(0, 1);
  return this;
}

Flag* Flag::delimiter(char separator) {
  option_->delimiter(separator);
  return this;
}

Flag* Flag::one_each() {
  option_->allow_extra_args(false);
  return this;
}

Flag* Flag::excludes(Flag* other) {
  option_->excludes(other->option_);
  return this;
}

FlagSet::FlagSet(const std::string& verb) : parser_(std::make_unique<Parser>()) { parser_->verb = verb; }
FlagSet::~FlagSet() = default;

template <typename T>
Flag* FlagSet::add(const std::string& names, T& value, const std::string& help) {
  return &parser_->flags.emplace_back(parser_->app.add_option(names, value, help));
}

Flag* FlagSet::add_option(const std::string& names, std::string& value, const std::string& help) {
  return add(names, value, help);
}
Flag* FlagSet::add_option(const std::string& names, std::optional<std::string>& value, const std::string& help) {
  return add(names, value, help);
}
Flag* FlagSet::add_option(const std::string& names, std::vector<std::string>& value, const std::string& help) {
  return add(names, value, help);
}
Flag* FlagSet::add_option(const std::string& names, int32_t& value, const std::string& help) {
  return add(names, value, help);
}
Flag* FlagSet::add_option(const std::string& names, int64_t& value, const std::string& help) {
  return add(names, value, help);
}
Flag* FlagSet::add_option(const std::string& names, uint64_t& value, const std::string& help) {
  return add(names, value, help);
}
Flag* FlagSet::add_option(const std::string& names, float& value, const std::string& help) {
  return add(names, value, help);
}
Flag* FlagSet::add_option(const std::string& names, double& value, const std::string& help) {
  return add(names, value, help);
}

Flag* FlagSet::add_flag(const std::string& names, bool& value, const std::string& help) {
  return &parser_->flags.emplace_back(parser_->app.add_flag(names, value, help));
}

bool FlagSet::parse(const std::vector<std::string>& arguments) {
  CLI::App& app = parser_->app;
  app.set_help_flag("-h,--help", "show this");
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // CLI11 takes them from the back
  } catch (const CLI::CallForHelp&) {
    return false;
  } catch (const CLI::ParseError& error) {
    refuse_flags(parser_->verb, app, arguments, error);
  }
  return true;
}

std::vector<FlagSet::HelpLine> FlagSet::help_lines() const {
  std::vector<HelpLine> lines;
  for (const CLI::Option* option : parser_->app.get_options())
    lines.push_back({flag_names(*option), flag_text(*option), option->get_positional()});
  return lines;
}

}  // namespace bitloom
