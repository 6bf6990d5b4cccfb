#include "tokenize/sentencepiece/spm_model.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <optional>

#include "base/error.h"
#include "base/text/text.h"
#include "tokenize/text/token_limit.h"

namespace bitloom {
namespace {

enum Wire : uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

/// One field of a message: its number, how it is written, and its value.
struct Field {
  uint64_t number = 0, wire = 0;
  uint64_t value = 0;      // varints and fixed ones
  std::string_view bytes;  // kBytes

  bool is(uint64_t of_number, Wire of_wire) const { return number == of_number && wire == of_wire; }
  float as_float() const {
    const auto bits = static_cast<uint32_t>(value);
    float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
  }
};

/// Reads the fields of a message that lies in a file.
class Message {
 public:
  Message(std::string_view bytes, std::string_view file, const std::string& origin)
      : bytes_(bytes), file_(file), origin_(origin) {}

  std::optional<Field> next() {
    if (bytes_.empty()) return std::nullopt;
    Field field;
    const uint64_t key = varint();
    field.number = key >> 3;
    field.wire = key & 7;
    switch (field.wire) {
      case kVarint:
        field.value = varint();
        break;
      case kFixed64:
        field.value = fixed(8);
        break;
      case kFixed32:
        field.value = fixed(4);
        break;
      case kBytes:
        field.bytes = take(varint());
        break;
      default:
        refuse_here(fmt::format("field {} has the unknown wire type {}", field.number, field.wire));
    }
    return field;
  }

 private:
  [[noreturn]] void refuse_here(const std::string& what) const {
    refuse("{}: byte {}: {}: no SentencePiece model", origin_, bytes_.data() - file_.data(), what);
  }

  std::string_view take(uint64_t count) {
    if (count > bytes_.size()) refuse_here(fmt::format("{} bytes are claimed, {} are left", count, bytes_.size()));
    const std::string_view taken = bytes_.substr(0, static_cast<size_t>(count));
    bytes_.remove_prefix(static_cast<size_t>(count));
    return taken;
  }

  uint64_t fixed(size_t count) {
    uint64_t value = 0;
    std::memcpy(&value, take(count).data(), count);
    return value;
  }

  uint64_t varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1).front());
      value |= static_cast<uint64_t>(byte & 0x7Fu) << shift;
      if (byte < 0x80) return value;
    }
    refuse_here("a number of more than 10 bytes");
  }

  std::string_view bytes_, file_;
  const std::string& origin_;
};

class Reader {
 public:
  Reader(std::string_view file, SpmModel& model) : file_(file), model_(model) {}

  void model() {
    each(file_, [this](const Field& field) {
      if (field.is(1, kBytes)) piece(field.bytes);
      if (field.is(2, kBytes)) trainer(field.bytes);
      if (field.is(3, kBytes)) normalizer(field.bytes);
      if (field.is(5, kBytes)) denormalizer(field.bytes);
    });
    if (model_.pieces.empty()) refuse("{}: has no pieces", model_.origin);
  }

 private:
  void each(std::string_view bytes, const std::function<void(const Field&)>& body) {
    Message message(bytes, file_, model_.origin);
    while (const std::optional<Field> field = message.next()) body(*field);
  }

  void piece(std::string_view bytes) {
    SpmPiece piece;
    each(bytes, [&](const Field& field) {
      if (field.is(1, kBytes)) piece.text = field.bytes;
      if (field.is(2, kFixed32)) piece.score = field.as_float();
      if (field.is(3, kVarint)) piece.type = static_cast<PieceType>(field.value);
    });
    const size_t id = model_.pieces.size();
    if (piece.type < PieceType::kNormal || piece.type > PieceType::kByte)
      refuse("{}: piece {} has the type {} (1 to 6)", model_.origin, id, static_cast<int>(piece.type));
    if (piece.text.empty()) refuse("{}: piece {} is empty", model_.origin, id);
    if (piece.text.size() > kMaxTokenBytes)
      refuse("{}: piece {} is {} bytes long (at most {})", model_.origin, id, piece.text.size(), kMaxTokenBytes);
    if (first_invalid_utf8(piece.text) != piece.text.size())
      refuse("{}: piece {} is not valid UTF-8", model_.origin, id);
    if (!std::isfinite(piece.score)) refuse("{}: piece {} has the score {}", model_.origin, id, piece.score);
    model_.pieces.push_back(std::move(piece));
  }

  void trainer(std::string_view bytes) {
    each(bytes, [this](const Field& field) {
      if (field.is(3, kVarint)) model_.kind = kind(field.value);
      if (field.is(24, kVarint)) model_.space_is_suffix = field.value != 0;
      if (field.is(35, kVarint)) model_.byte_fallback = field.value != 0;
      if (field.is(44, kBytes)) model_.unk_surface = surface(field.bytes);
      if (field.is(46, kBytes)) model_.bos_piece = field.bytes;
      if (field.is(47, kBytes)) model_.eos_piece = field.bytes;
    });
  }

  /// Stands in the text for each unknown piece.
  std::string_view surface(std::string_view text) const {
    if (text.size() > kMaxTokenBytes)
      refuse("{}: trainer_spec.unk_surface is {} bytes long (at most {})", model_.origin, text.size(), kMaxTokenBytes);
    return text;
  }

  SpmKind kind(uint64_t value) const {
    if (value < 1 || value > 4)
      refuse("{}: trainer_spec.model_type is {}: must be 1 (unigram), 2 (BPE), 3 (word) or 4 (char)", model_.origin,
             value);
    return static_cast<SpmKind>(value);
  }

  void normalizer(std::string_view bytes) {
    each(bytes, [this](const Field& field) {
      if (field.is(2, kBytes)) model_.character_map = field.bytes;
      if (field.is(3, kVarint)) model_.add_dummy_prefix = field.value != 0;
      if (field.is(4, kVarint)) model_.remove_extra_whitespaces = field.value != 0;
      if (field.is(5, kVarint)) model_.escape_whitespaces = field.value != 0;
    });
  }

  void denormalizer(std::string_view bytes) {
    each(bytes, [this](const Field& field) {
      if (field.is(2, kBytes) && !field.bytes.empty())
        refuse("{}: denormalizer_spec.precompiled_charsmap is not supported", model_.origin);
    });
  }

  std::string_view file_;
  SpmModel& model_;
};

}  // namespace

SpmModel read_spm_model(std::string_view bytes, const std::string& origin) {
  SpmModel model;
  model.origin = origin;
  Reader(bytes, model).model();
  return model;
}

}  // namespace bitloom
