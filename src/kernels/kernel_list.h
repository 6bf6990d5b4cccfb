#pragma once
// The choice from a list of kernels: entries with a member `isa`, in the order of preference, those for every machine
// last.

#include <span>

#include "base/simd/cpu_features.h"

namespace bitloom {

/// The first entry that `isa` or a lower one allows and that serves(entry); null when there is none.
template <typename Entry, typename Serves>
const Entry* find_kernel(std::span<const Entry> entries, Isa isa, const Serves& serves) {
  for (const Entry& entry : entries) {
    if (entry.isa <= isa && serves(entry)) return &entry;
  }
  return nullptr;
}

/// The same from a list whose last entry serves all.
template <typename Entry>
const Entry& first_kernel(std::span<const Entry> entries, Isa isa) {
  const Entry* found = find_kernel(entries, isa, [](const Entry&) { return true; });
  return found != nullptr ? *found : entries.back();
}

}  // namespace bitloom
