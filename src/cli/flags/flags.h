#pragma once
// The flags of one verb: declared, parsed, listed for help. Written over CLI11, which flags.cc alone includes: its
// headers hold the whole library and would cost every verb ten seconds of compiling.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class Option;
}

namespace bitloom {

/// A declared flag, to say more about it; valid as long as its FlagSet.
class Flag {
 public:
  explicit Flag(CLI::Option* option) : option_(option) {}
  /// What help calls its value: "N", "FILE".
  Flag* type_name(const std::string& name);
  Flag* required();
  /// Help shows the value that the variable has now.
  Flag* capture_default_str();
  /// Empty for a text that is allowed, else what is wrong with it.
  Flag* check(const std::function<std::string(const std::string&)>& check);
  /// Called with every text given.
  Flag* each(const std::function<void(const std::string&)>& action);
  /// The value may be left out: the variable is then "".
  Flag* value_optional();
  /// Cuts the text into the elements of a list.
  Flag* delimiter(char separator);
  /// Of a list: takes one value each time it is given.
  Flag* one_each();
  /// The two cannot be given together.
  Flag* excludes(Flag* other);

 private:
  CLI::Option* option_;
};

class FlagSet {
 public:
  /// `verb` as typed, "eval ppl": for messages.
  explicit FlagSet(const std::string& verb);
  ~FlagSet();
  FlagSet(const FlagSet&) = delete;
  FlagSet& operator=(const FlagSet&) = delete;

  /// `names` as "MODEL,-m,--model"; a name without dashes is positional. `value` outlives the set and keeps what it
  /// holds when the flag is not given.
  Flag* add_option(const std::string& names, std::string& value, const std::string& help);
  Flag* add_option(const std::string& names, std::optional<std::string>& value, const std::string& help);
  Flag* add_option(const std::string& names, std::vector<std::string>& value, const std::string& help);
  Flag* add_option(const std::string& names, int32_t& value, const std::string& help);
  Flag* add_option(const std::string& names, int64_t& value, const std::string& help);
  Flag* add_option(const std::string& names, uint64_t& value, const std::string& help);
  Flag* add_option(const std::string& names, float& value, const std::string& help);
  Flag* add_option(const std::string& names, double& value, const std::string& help);
  Flag* add_flag(const std::string& names, bool& value, const std::string& help);

  /// Sets the variables; false when help was asked for. Error(kUsage) names the verb, the flag and where to read more.
  bool parse(const std::vector<std::string>& arguments);

  struct HelpLine {
    std::string names;  // "MODEL", "-n, --tokens N", "    --json"
    std::string text;
    bool positional = false;
  };
  /// In the order of declaration.
  std::vector<HelpLine> help_lines() const;

 private:
  struct Parser;
  template <typename T>
  Flag* add(const std::string& names, T& value, const std::string& help);
  std::unique_ptr<Parser> parser_;
};

}  // namespace bitloom
