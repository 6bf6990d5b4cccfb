#pragma once
// For tests: small tokenizer.json documents.

#include <string>

#include "base/test_data.h"
#include "io/json.h"
#include "tokenize/tokenizer.h"

namespace bitloom::testing {

/// One of the tokenizers of synthetic.json, or of a file like it.
inline Json assemble(const Json& file, const std::string& name) {
  const Json& description = file["tokenizers"][name];
  Json document = description;
  document["model"] = file["models"][description["model"].get<std::string>()];
  document["model"].update(description["patch"]);
  document.erase("patch");
  document.erase("string_merges");
  if (description["string_merges"].get<bool>()) {
    for (Json& merge : document["model"]["merges"])
      merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }
  return document;
}

/// tests/golden/tokenize/NAME.json: models by name, and tokenizers made of them.
inline Json tokenizers_file(const std::string& name) {
  return Json::parse(read_text(golden("tokenize/" + name + ".json")));
}
inline Json synthetic_file() { return tokenizers_file("synthetic"); }
inline Json synthetic(const std::string& name) { return assemble(synthetic_file(), name); }

/// A complete tokenizer of a dozen tokens, byte-level, with BOS.
inline Json tiny_document() {
  return Json::parse(R"({
    "version": "1.0",
    "added_tokens": [{"id": 0, "content": "<s>", "special": true, "normalized": false},
                     {"id": 1, "content": "</s>", "special": true, "normalized": false}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": "\\s?\\w+"}, "behavior": "Isolated", "invert": false},
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
    "post_processor": {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "byte_fallback": false, "ignore_merges": false,
      "vocab": {"<s>": 0, "</s>": 1, "a": 2, "b": 3, "Ġ": 4, "ab": 5, "Ġa": 6, "Ġab": 7, "Ã": 8, "¤": 9, "â": 10, "Ĥ": 11,
                "¬": 12},
      "merges": ["a b", "Ġ a", "Ġ ab"]}
  })");
}

}  // namespace bitloom::testing
