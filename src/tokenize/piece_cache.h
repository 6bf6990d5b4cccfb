#pragma once
// Remembers the ids of pieces already met. Bounded; belongs to one call of encode.

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace bitloom {

class PieceCache {
 public:
  static constexpr size_t kMaxPieceBytes = 128;
  static constexpr size_t kMaxEntries = size_t{1} << 17;

  /// Appends the ids of `piece` to `ids` when they are known.
  bool find(std::string_view piece, std::vector<int32_t>& ids) const {
    if (slots_.empty() || piece.size() > kMaxPieceBytes) return false;
    const uint64_t hash = hash_of(piece);
    for (size_t i = hash & mask();; i = (i + 1) & mask()) {
      const Slot& slot = slots_[i];
      if (slot.count < 0) return false;
      if (slot.hash != hash || slot.length != piece.size()) continue;
      if (std::memcmp(keys_.data() + slot.key, piece.data(), piece.size()) != 0) continue;
      ids.insert(ids.end(), ids_.begin() + slot.first, ids_.begin() + slot.first + slot.count);
      return true;
    }
  }

  void insert(std::string_view piece, const int32_t* ids, size_t count) {
    if (piece.size() > kMaxPieceBytes || entries_ >= kMaxEntries) return;
    if (2 * (entries_ + 1) > slots_.size()) grow();
    place({hash_of(piece), static_cast<uint32_t>(keys_.size()), static_cast<uint32_t>(ids_.size()),
           static_cast<int32_t>(count), static_cast<uint32_t>(piece.size())});
    keys_.append(piece);
    ids_.insert(ids_.end(), ids, ids + count);
    ++entries_;
  }

 private:
  struct Slot {
    uint64_t hash = 0;
    uint32_t key = 0;
    uint32_t first = 0;
    int32_t count = -1;  // -1: empty
    uint32_t length = 0;
  };

  static uint64_t mix(uint64_t h) {
    h *= 0x9E3779B97F4A7C15u;
    return h ^ (h >> 29);
  }

  static uint64_t hash_of(std::string_view piece) {
    uint64_t h = piece.size();
    const char* p = piece.data();
    size_t n = piece.size();
    for (; n >= 8; p += 8, n -= 8) {
      uint64_t word;
      std::memcpy(&word, p, 8);
      h = mix(h ^ word);
    }
    uint64_t tail = 0;
    for (size_t i = 0; i < n; ++i) tail |= static_cast<uint64_t>(static_cast<unsigned char>(p[i])) << (8 * i);
    h = mix(h ^ tail);
    return h ^ (h >> 32);
  }

  size_t mask() const { return slots_.size() - 1; }

  void place(const Slot& slot) {
    size_t i = slot.hash & mask();
    while (slots_[i].count >= 0) i = (i + 1) & mask();
    slots_[i] = slot;
  }

  void grow() {
    std::vector<Slot> old = std::move(slots_);
    slots_.assign(old.empty() ? 64 : 2 * old.size(), Slot{});
    for (const Slot& slot : old) {
      if (slot.count >= 0) place(slot);
    }
  }

  std::vector<Slot> slots_;
  std::string keys_;
  std::vector<int32_t> ids_;
  size_t entries_ = 0;
};

}  // namespace bitloom
