#pragma once
// What accompanies a model's weights: its configuration, tokenizer, chat template, and files to carry along.

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "chat/chat_template.h"
#include "io/ggml/gguf.h"
#include "io/json.h"
#include "model/graph.h"
#include "tokenize/tokenizer.h"

namespace bitloom {

/// A value that is cheap to copy.
class Companions {
 public:
  /// Of the directory `path`; of the GGUF file where `gguf` is not null. The tokenizer must fit the graph's embedding.
  Companions(std::string path, Json config, std::shared_ptr<const GgufFile> gguf, const Graph& graph);

  const Json& config() const { return *config_; }  // for GGUF: the config.json that the file amounts to
  /// The same beside a model whose head is not tied.
  Companions untied() const;

  /// Loaded on first use; Error(kRefused) when the model has none or it does not fit the vocabulary.
  const Tokenizer& tokenizer() const;
  bool has_tokenizer() const;
  /// The template that instruct models bring, by name where there are several. Error(kRefused) when the model has none,
  /// or it is no template that bitloom can render.
  ChatTemplate chat_template(const std::string& name = "default") const;
  /// Whether it has a default one. Error(kRefused) for one that bitloom cannot render.
  bool has_chat_template() const;
  /// Tokenizer and generation files to carry along to an output directory: file name -> contents.
  std::map<std::string, std::string> files() const;

 private:
  struct Place {
    std::string path;
    std::shared_ptr<const GgufFile> gguf;  // GGUF only
    std::string embedding;
    int64_t embedding_rows = 0;
    std::mutex tokenizer_lock = {};
    std::shared_ptr<const Tokenizer> tokenizer = nullptr;
  };
  std::shared_ptr<const Json> config_;
  std::shared_ptr<Place> place_;
};

}  // namespace bitloom
