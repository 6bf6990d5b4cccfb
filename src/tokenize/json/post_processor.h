#pragma once
// post_processor of tokenizer.json: the special tokens around a sequence.

#include <cstdint>
#include <vector>

#include "tokenize/json/json_node.h"

namespace bitloom {

class PostProcessor {
 public:
  /// Gives the sequence back as it is.
  PostProcessor() : parts_(1) {}
  explicit PostProcessor(const JsonNode& node);
  /// `before`, the sequence, `after`.
  PostProcessor(std::vector<int32_t> before, std::vector<int32_t> after);

  std::vector<int32_t> apply(std::vector<int32_t> ids, bool add_special) const;
  /// The ids put before the sequence.
  std::vector<int32_t> prefix() const;

 private:
  struct Part {
    bool sequence = true;
    std::vector<int32_t> ids;
  };
  void read(const JsonNode& node, int& templates);
  void read_template(const JsonNode& node);
  void read_pair(const JsonNode& node);

  std::vector<Part> parts_;
};

}  // namespace bitloom
