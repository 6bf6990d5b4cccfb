#include "tokenize/json/decoder.h"

#include "base/text/text.h"
#include "tokenize/bpe/byte_level.h"
#include "tokenize/json/pattern.h"
#include "tokenize/text/unicode.h"

namespace bitloom {
namespace {

using Tokens = std::vector<std::string>;

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t done = 0;
  for (size_t found; (found = text.find(from, done)) != text.npos; done = found + from.size())
    out.append(text.substr(done, found - done)).append(to);
  return out.append(text.substr(done));
}

class ByteAlphabet : public TokenDecoder {
 public:
  void apply(Tokens& tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) append_from_byte_alphabet(bytes, token);
    tokens = {lossy_utf8(bytes)};
  }
};

// Runs of <0xNN> become text; in a run that is no UTF-8 every byte becomes U+FFFD.
class ByteFallback : public TokenDecoder {
 public:
  void apply(Tokens& tokens) const override {
    Tokens out;
    std::string run;
    for (std::string& token : tokens) {
      if (const int byte = byte_of(token); byte >= 0) {
        run.push_back(static_cast<char>(byte));
        continue;
      }
      flush(run, out);
      out.push_back(std::move(token));
    }
    flush(run, out);
    tokens = std::move(out);
  }

 private:
  static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  }

  // The package reads the two characters as Rust reads a number: "+5" is one.
  static int byte_of(const std::string& token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    const int low = digit(token[4]);
    const int high = token[3] == '+' ? 0 : digit(token[3]);
    return low < 0 || high < 0 ? -1 : 16 * high + low;
  }

  static void flush(std::string& run, Tokens& out) {
    if (run.empty()) return;
    if (first_invalid_utf8(run) == run.size()) {
      out.push_back(run);
    } else {
      out.insert(out.end(), run.size(), "\xEF\xBF\xBD");
    }
    run.clear();
  }
};

class Fuse : public TokenDecoder {
 public:
  void apply(Tokens& tokens) const override {
    std::string all;
    for (const std::string& token : tokens) all += token;
    tokens = {std::move(all)};
  }
};

class Replace : public TokenDecoder {
 public:
  Replace(TextPattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}

  void apply(Tokens& tokens) const override {
    RegexScratch scratch;
    for (std::string& token : tokens) {
      std::string out;
      pattern_.split(token, scratch, [&](size_t begin, size_t end, bool match) {
        out.append(match ? std::string_view(content_) : std::string_view(token).substr(begin, end - begin));
      });
      token = std::move(out);
    }
  }

 private:
  TextPattern pattern_;
  std::string content_;
};

// Takes up to `start` characters `content` from the front of every token and up to `stop` from its end.
class Strip : public TokenDecoder {
 public:
  Strip(char32_t content, int32_t start, int32_t stop) : start_(start), stop_(stop) { append_utf8(content_, content); }

  void apply(Tokens& tokens) const override {
    for (std::string& token : tokens) {
      std::string_view rest = token;
      for (int32_t i = 0; i < start_ && rest.starts_with(content_); ++i) rest.remove_prefix(content_.size());
      for (int32_t i = 0; i < stop_ && rest.ends_with(content_); ++i) rest.remove_suffix(content_.size());
      token = std::string(rest);
    }
  }

 private:
  std::string content_;
  int32_t start_;
  int32_t stop_;
};

// The replacement becomes a space; in the first token it vanishes, unless nothing was ever put before the text.
class Metaspace : public TokenDecoder {
 public:
  Metaspace(char32_t replacement, bool prepended) : prepended_(prepended) { append_utf8(replacement_, replacement); }

  void apply(Tokens& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = replaced(tokens[i], replacement_, i == 0 && prepended_ ? "" : " ");
  }

 private:
  bool prepended_;
  std::string replacement_;
};

// The end-of-word suffix becomes a space, in the last token nothing.
class BpeSuffix : public TokenDecoder {
 public:
  explicit BpeSuffix(std::string suffix) : suffix_(std::move(suffix)) {}

  void apply(Tokens& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = replaced(tokens[i], suffix_, i + 1 == tokens.size() ? "" : " ");
  }

 private:
  std::string suffix_;
};

// Tokens with the prefix continue the one before them, others begin with a space. `cleanup` takes spaces out again that
// stand before punctuation and contractions.
class WordPiece : public TokenDecoder {
 public:
  WordPiece(std::string prefix, bool cleanup) : prefix_(std::move(prefix)), cleanup_(cleanup) {}

  void apply(Tokens& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (i > 0 && tokens[i].starts_with(prefix_)) {
        tokens[i].erase(0, prefix_.size());
      } else if (i > 0) {
        tokens[i].insert(0, 1, ' ');
      }
      if (cleanup_) clean(tokens[i]);
    }
  }

 private:
  static void clean(std::string& token) {
    constexpr std::pair<std::string_view, std::string_view> kReplaced[] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& [from, to] : kReplaced) {
      if (token.find(from) != token.npos) token = replaced(token, from, to);
    }
  }

  std::string prefix_;
  bool cleanup_;
};

using TokenDecoderPtr = std::unique_ptr<const TokenDecoder>;

template <typename Part>
TokenDecoderPtr make_plain(const JsonNode&) {
  return std::make_unique<Part>();
}

TokenDecoderPtr make_replace(const JsonNode& node) {
  return std::make_unique<Replace>(TextPattern(node.at("pattern")), node.at("content").text());
}

TokenDecoderPtr make_strip(const JsonNode& node) {
  return std::make_unique<Strip>(node.at("content").character(), node.at("start").id(), node.at("stop").id());
}

TokenDecoderPtr make_metaspace(const JsonNode& node) {
  const bool never = node.text_or("prepend_scheme", "always") == "never" || !node.flag_or("add_prefix_space", true);
  return std::make_unique<Metaspace>(node.at("replacement").character(), !never);
}

TokenDecoderPtr make_word_piece(const JsonNode& node) {
  return std::make_unique<WordPiece>(node.at("prefix").text(), node.at("cleanup").flag());
}

TokenDecoderPtr make_suffix(const JsonNode& node) {
  const JsonNode suffix = node.at("suffix");
  if (suffix.text().empty()) suffix.reject("is empty");
  return std::make_unique<BpeSuffix>(suffix.text());
}

struct Row {
  std::string_view type;
  TokenDecoderPtr (*make)(const JsonNode&);  // nullptr: a sequence
};

constexpr Row kRows[] = {
    {"ByteLevel", make_plain<ByteAlphabet>},
    {"ByteFallback", make_plain<ByteFallback>},
    {"Fuse", make_plain<Fuse>},
    {"Replace", make_replace},
    {"Strip", make_strip},
    {"Metaspace", make_metaspace},
    {"BPEDecoder", make_suffix},
    {"WordPiece", make_word_piece},
    {"Sequence", nullptr},
};

void append(const JsonNode& node, TokenDecoders& out) {
  const Row& row = choose_part(kRows, node);
  if (row.make) {
    out.push_back(row.make(node));
    return;
  }
  for (const JsonNode& item : node.at("decoders").items()) append(item, out);
}

}  // namespace

TokenDecoders load_decoders(const JsonNode& node) {
  TokenDecoders result;
  append(node, result);
  return result;
}

}  // namespace bitloom
