#include "tokenize/json/post_processor.h"

namespace bitloom {
namespace {

enum class Kind { kNothing, kTemplate, kPair, kSequence };

struct Row {
  std::string_view type;
  Kind kind;
};

constexpr Row kRows[] = {
    {"TemplateProcessing", Kind::kTemplate}, {"ByteLevel", Kind::kNothing},  // ByteLevel only mends offsets
    {"RobertaProcessing", Kind::kPair},      {"BertProcessing", Kind::kPair}, {"Sequence", Kind::kSequence},
};

std::vector<int32_t> special_ids(const JsonNode& node, const JsonNode& name) {
  const auto entry = node.find("special_tokens");
  const auto token = entry ? entry->find(name.text()) : std::nullopt;
  if (!token) name.reject(fmt::format("is '{}', which special_tokens lacks", name.text()));
  std::vector<int32_t> ids;
  for (const JsonNode& id : token->at("ids").items()) ids.push_back(id.id());
  return ids;
}

}  // namespace

PostProcessor::PostProcessor(const JsonNode& node) : PostProcessor() {
  int templates = 0;
  read(node, templates);
}

PostProcessor::PostProcessor(std::vector<int32_t> before, std::vector<int32_t> after) {
  parts_ = {{false, std::move(before)}, {true, {}}, {false, std::move(after)}};
}

void PostProcessor::read(const JsonNode& node, int& templates) {
  const Kind kind = choose_part(kRows, node).kind;
  if (kind == Kind::kSequence) {
    for (const JsonNode& item : node.at("processors").items()) read(item, templates);
    return;
  }
  if (kind == Kind::kNothing) return;
  if (++templates > 1) node.reject("is the second part that adds tokens; bitloom supports one");
  if (kind == Kind::kTemplate) {
    read_template(node);
  } else {
    read_pair(node);
  }
}

void PostProcessor::read_template(const JsonNode& node) {
  parts_.clear();
  for (const JsonNode& piece : node.at("single").items()) {
    if (const auto sequence = piece.find("Sequence")) {
      const JsonNode id = sequence->at("id");
      if (id.text() != "A") id.reject(fmt::format("is '{}'; a single sequence has only 'A'", id.text()));
      parts_.push_back({true, {}});
    } else {
      parts_.push_back({false, special_ids(node, piece.at("SpecialToken").at("id"))});
    }
  }
}

// cls, the sequence, sep; each is ["token", id].
void PostProcessor::read_pair(const JsonNode& node) {
  const auto id_of = [&](const char* key) {
    const auto pair = node.at(key).items();
    if (pair.size() != 2) node.at(key).reject("must be a token and its id");
    return std::vector<int32_t>{pair[1].id()};
  };
  parts_ = {{false, id_of("cls")}, {true, {}}, {false, id_of("sep")}};
}

std::vector<int32_t> PostProcessor::apply(std::vector<int32_t> ids, bool add_special) const {
  if (parts_.size() == 1 && parts_[0].sequence) return ids;
  std::vector<int32_t> result;
  result.reserve(ids.size() + 2);
  for (const Part& part : parts_) {
    if (!part.sequence && !add_special) continue;
    const std::vector<int32_t>& source = part.sequence ? ids : part.ids;
    result.insert(result.end(), source.begin(), source.end());
  }
  return result;
}

std::vector<int32_t> PostProcessor::prefix() const {
  std::vector<int32_t> result;
  for (const Part& part : parts_) {
    if (part.sequence) break;
    result.insert(result.end(), part.ids.begin(), part.ids.end());
  }
  return result;
}

}  // namespace bitloom
