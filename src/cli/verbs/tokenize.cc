#include <fmt/format.h>

#include <charconv>

#include "base/error.h"
#include "cli/flags/common_flags.h"
#include "cli/verb.h"
#include "model/checkpoint/checkpoint.h"
#include "report/table.h"

namespace bitloom {
namespace {

struct Flags {
  std::string model;
  InputFlags input;
  bool decode = false, no_special = false, pieces = false;
};

std::vector<std::string> pieces_of(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  std::vector<std::string> pieces;
  pieces.reserve(ids.size());
  for (const int32_t id : ids) pieces.push_back(tokenizer.id_to_token(id));
  return pieces;
}

// Ids between blanks, commas or brackets: what this verb prints, as text or as a JSON array.
std::vector<int32_t> parse_ids(const std::string& text, const Tokenizer& tokenizer) {
  constexpr const char* kSeparators = " ,[]\n\r\t";
  std::vector<int32_t> ids;
  for (size_t start = text.find_first_not_of(kSeparators); start != text.npos;) {
    const size_t end = std::min(text.find_first_of(kSeparators, start), text.size());
    int32_t id = -1;
    const auto [stop, error] = std::from_chars(text.data() + start, text.data() + end, id);
    if (error != std::errc() || stop != text.data() + end || id < 0 || id >= tokenizer.vocab_size())
      misuse("tokenize --decode: '{}' is no token id; there are 0 to {}", visible_text(text.substr(start, end - start)),
             tokenizer.vocab_size() - 1);
    ids.push_back(id);
    start = text.find_first_not_of(kSeparators, end);
  }
  return ids;
}

std::string pieces_table(const std::vector<int32_t>& ids, const std::vector<std::string>& pieces, bool bold) {
  Table table({{"id"}, {"token", Align::kLeft}});
  for (size_t i = 0; i < ids.size(); ++i) table.add({fmt::format("{}", ids[i]), visible_text(pieces[i])});
  return table.to_text(bold);
}

void tokenize(const Flags& flags, Session& session) {
  const auto model = Checkpoint::open(flags.model, session.warner());
  const Tokenizer& tokenizer = model->tokenizer();
  const std::string input = read_input(flags.input, "tokenize");
  const std::vector<int32_t> ids =
      flags.decode ? parse_ids(input, tokenizer) : tokenizer.unlimited().encode(input, !flags.no_special);
  if (const auto id = tokenizer.first_beyond_limit(ids))
    session.warner()(fmt::format("{}: the model embeds {} tokens, so it cannot read '{}', token {}", flags.model,
                                 model->graph().vocab_size, visible_text(tokenizer.id_to_token(*id)), *id));
  const std::string text = flags.decode ? tokenizer.decode(ids, flags.no_special) : input;
  const bool wants_pieces = session.json || flags.pieces;
  const std::vector<std::string> pieces = wants_pieces ? pieces_of(tokenizer, ids) : std::vector<std::string>();
  std::string shown;
  if (!session.json)
    shown = flags.pieces   ? pieces_table(ids, pieces, session.bold())
            : flags.decode ? text + "\n"
                           : fmt::format("{}\n", fmt::join(ids, " "));
  session.show({{"model", flags.model},
                {"ids", ids},
                {"tokens", pieces},
                {"text", text},
                {"count", ids.size()},
                {"tokenizer", tokenizer.describe()},
                {"tokenizer_sha256", tokenizer.hash()}},
               shown);
}

std::function<void()> setup(FlagSet& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  add_model_flag(app, flags->model);
  add_input_flags(app, flags->input, "text to turn into token ids");
  app.add_flag("--decode", flags->decode, "the other way: the input is token ids, the output text");
  app.add_flag("--pieces", flags->pieces, "print each id with its token");
  app.add_flag("--no-special", flags->no_special, "add no BOS and the like; with --decode leave them out of the text");
  add_json_flag(app, session);
  return [flags, &session] { tokenize(*flags, session); };
}

}  // namespace

Verb tokenize_verb() {
  return {"tokenize",
          "text to token ids and back",
          "MODEL -p TEXT | -f FILE [flags]",
          {"bitloom tokenize assets/demo -p \"Once upon a time\" --pieces",
           "bitloom tokenize assets/demo -f story.txt | bitloom tokenize assets/demo --decode -f -"},
          setup};
}

}  // namespace bitloom
