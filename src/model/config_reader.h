#pragma once
// Typed look-up of config.json keys. Every message names the file, the key, the value found and what is allowed.
//
// transformers' rules hold: an absent key takes the model's default; an explicit null is a value of its own ("none")
// for the keys that may be null, which are read with find_*.

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/json.h"

namespace bitloom {

class ConfigReader {
 public:
  /// `document` must outlive the reader and be a JSON object, else Error(kRefused). `prefix` is put before keys in
  /// messages: "rope_scaling.".
  ConfigReader(const Json& document, std::string origin, std::string prefix = "");

  const std::string& origin() const { return origin_; }
  bool contains(const std::string& key) const { return document_->contains(key); }
  /// Present and not null.
  bool has(const std::string& key) const;

  /// A size or a count, 1 .. kMaxCount. The two-argument form takes the default when the key is absent or null.
  int64_t count(const std::string& key) const;
  int64_t count(const std::string& key, int64_t fallback) const;
  std::optional<int64_t> find_count(const std::string& key) const;

  double number(const std::string& key) const;
  double number(const std::string& key, double fallback) const;
  /// > 0, finite.
  double positive(const std::string& key) const;
  double positive(const std::string& key, double fallback) const;
  std::optional<double> find_number(const std::string& key) const;

  bool flag(const std::string& key, bool fallback) const;
  std::string text(const std::string& key) const;
  std::string text(const std::string& key, const std::string& fallback) const;
  /// Empty when absent or null.
  std::vector<std::string> texts(const std::string& key) const;
  std::vector<double> numbers(const std::string& key) const;
  /// One id or a list of ids; the default when absent, empty when null.
  std::vector<int32_t> ids(const std::string& key, std::vector<int32_t> fallback) const;
  /// The object under `key`; an empty one when absent or null.
  Json object(const std::string& key) const;

  /// Refuses the key's value, unless it is absent, null, false, 0 or empty. `reason` ends the message.
  void refuse_if_set(const std::string& key, const std::string& reason) const;
  /// Refuses the key's present value: "FILE: KEY is VALUE, EXPLANATION".
  [[noreturn]] void refuse_value(const std::string& key, const std::string& explanation) const;

  static constexpr int64_t kMaxCount = int64_t{1} << 30;

 private:
  const Json* find(const std::string& key) const;
  const Json& require(const std::string& key) const;

  const Json* document_;
  std::string origin_, prefix_;
};

}  // namespace bitloom
