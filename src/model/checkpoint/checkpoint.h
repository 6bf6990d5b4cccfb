#pragma once
// MODEL, wherever the command line says it: a Hugging Face directory, a bitloom directory or a GGUF file. All three
// present themselves alike: a model (graph and weights) and what accompanies it.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/checkpoint/companions.h"
#include "model/model.h"

namespace bitloom {

enum class CheckpointKind { kHuggingFace, kBitloom, kGguf };

class Checkpoint : public Model {
 public:
  /// Opens and checks everything but the values: every tensor the graph needs is there with a real dtype and the right
  /// shape. Maps files; decodes no weights. Error(kRefused) names file, tensor or key, found and expected. Whether the
  /// tokenizer fits the vocabulary is checked where it is first used. `warn` is told the remarks().
  static std::shared_ptr<const Checkpoint> open(const std::string& path,
                                                const std::function<void(const std::string&)>& warn = {});

  /// `base` with its model edited (Model::edited); everything else, files included, is the base's. The configuration
  /// of an untied head says so.
  static std::shared_ptr<const Checkpoint> edited(std::shared_ptr<const Checkpoint> base, const TensorEdits& edits);

  CheckpointKind kind() const { return files_->kind; }
  /// Files that carry weights, in order, for hashing.
  const std::vector<std::string>& weight_files() const { return files_->weights; }
  /// Tensors of the files that the graph does not use (buffers, a vision tower), by their names there.
  const std::vector<std::string>& unused_tensors() const { return files_->unused; }
  /// What a user should know of the files: tensors in them that may have been meant to change results.
  const std::vector<std::string>& remarks() const { return files_->remarks; }

  /// See Companions.
  const Companions& companions() const { return companions_; }
  const Json& config() const { return companions_.config(); }
  const Tokenizer& tokenizer() const { return companions_.tokenizer(); }
  bool has_tokenizer() const { return companions_.has_tokenizer(); }
  ChatTemplate chat_template(const std::string& name = "default") const { return companions_.chat_template(name); }
  bool has_chat_template() const { return companions_.has_chat_template(); }
  std::map<std::string, std::string> companion_files() const { return companions_.files(); }

 private:
  struct Files {
    CheckpointKind kind = CheckpointKind::kHuggingFace;
    std::vector<std::string> weights, unused, remarks;
  };
  Checkpoint(Model model, Companions companions, std::shared_ptr<const Files> files)
      : Model(std::move(model)), companions_(std::move(companions)), files_(std::move(files)) {}

  Companions companions_;
  std::shared_ptr<const Files> files_;
};

}  // namespace bitloom
