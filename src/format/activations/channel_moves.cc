#include "format/activations/channel_moves.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/text/text.h"

namespace bitloom {
namespace {

bool parse_move(std::string_view text, ChannelMove& move) {
  const size_t into = text.find('>'), copy = text.find('=');
  if (into == std::string_view::npos || copy == std::string_view::npos || copy < into) return false;
  const auto slot = parse_number<int32_t>(text.substr(0, into));
  const auto target = parse_number<int32_t>(text.substr(into + 1, copy - into - 1));
  const auto of = parse_number<int32_t>(text.substr(copy + 1));
  if (!slot || !target || !of || *slot < 0 || *target < 0 || *of < 0) return false;
  move = {*slot, *target, *of};
  return true;
}

}  // namespace

bool parse_moves(std::string_view text, ChannelMoves& moves) {
  for (const std::string& word : split(text, ';')) {
    if (!parse_move(word, moves.emplace_back())) return false;
  }
  return true;
}

std::string to_string(const ChannelMoves& moves) {
  std::string text;
  for (const ChannelMove& move : moves) {
    text += fmt::format("{}{}>{}={}", text.empty() ? "" : ";", move.slot, move.into, move.copy);
  }
  return text;
}

std::string bad_moves(const ChannelMoves& moves, int64_t channels) {
  enum class Part { kSlot, kInto, kCopy };
  std::map<int32_t, Part> parts;
  const auto plays = [&parts](int32_t channel, Part part) {
    return parts.emplace(channel, part).first->second == part;
  };
  for (const ChannelMove& move : moves) {
    if (!parts.emplace(move.slot, Part::kSlot).second) return fmt::format("channel {} is freed twice", move.slot);
  }
  for (const ChannelMove& move : moves) {
    for (const int32_t channel : {move.slot, move.into, move.copy}) {
      if (channels > 0 && channel >= channels) return fmt::format("there is no channel {} among {}", channel, channels);
    }
    for (const auto& [channel, part] : {std::pair(move.into, Part::kInto), std::pair(move.copy, Part::kCopy)}) {
      if (!plays(channel, part)) return fmt::format("channel {} is to be two of freed, joined and split", channel);
    }
  }
  return "";
}

Reassembly::Reassembly(ChannelMoves moves) : moves_(std::move(moves)) {
  std::map<int32_t, int> sizes;
  for (const ChannelMove& move : moves_) ++sizes[move.into], ++sizes[move.copy];
  for (const auto& [channel, others] : sizes) shares_.emplace_back(channel, 1.0f / static_cast<float>(1 + others));
}

void Reassembly::move_values(float* x) const {
  for (const ChannelMove& move : moves_) x[move.into] += x[move.slot];
  for (const auto& [channel, share] : shares_) x[channel] *= share;
  for (const ChannelMove& move : moves_) x[move.slot] = x[move.copy];
}

void Reassembly::move_gradients(float* d) const {
  for (const ChannelMove& move : moves_) d[move.copy] += d[move.slot];
  for (const auto& [channel, share] : shares_) d[channel] *= share;
  for (const ChannelMove& move : moves_) d[move.slot] = d[move.into];
}

void Reassembly::move_weights(float* w) const {
  for (const ChannelMove& move : moves_) w[move.into] += w[move.slot];
  for (const ChannelMove& move : moves_) w[move.slot] = w[move.copy];
}

std::vector<Reassembly::Offset> Reassembly::offsets() const {
  std::map<int32_t, std::vector<int32_t>> parts;
  for (const ChannelMove& move : moves_) {
    std::vector<int32_t>& of_channel = parts[move.copy];
    if (of_channel.empty()) of_channel.push_back(move.copy);
    of_channel.push_back(move.slot);
  }
  std::vector<Offset> offsets;
  for (const auto& [channel, slots] : parts) {
    const auto count = static_cast<float>(slots.size());
    for (size_t k = 0; k < slots.size(); ++k) {
      offsets.push_back({slots[k], (static_cast<float>(k) + 0.5f) / count - 0.5f});
    }
  }
  std::sort(offsets.begin(), offsets.end(), [](const Offset& a, const Offset& b) { return a.channel < b.channel; });
  return offsets;
}

}  // namespace bitloom
