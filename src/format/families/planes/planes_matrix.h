#pragma once
// Reading and making matrices of the base family "planes".

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/threads.h"
#include "format/families/planes/planes_storage.h"

namespace bitloom {

/// A matrix over parts that somebody else owns. Error(kRefused), starting with `name`, for parts that are missing or do
/// not fit.
std::unique_ptr<const BaseMatrix> open_base(const std::string& name, const PlanesStorage& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts);

/// Levels of one row and block.
struct PlaneLevels {
  float mu_c = 0, alpha_c = 0, mu_o = 0, alpha_o = 0;  // of other than salient columns
  float mu_s = 0, alpha_1 = 0, alpha_2 = 0;            // of salient ones
  /// value[salient][2 second + sign], bits 0 or 1: what weights decode to.
  void values(float value[2][4]) const;
  /// One of them.
  float value(bool salient, int code) const {
    const bool plus = (code & 1) != 0, second = (code & 2) != 0;
    if (!salient) return second ? (plus ? mu_o + alpha_o : mu_o - alpha_o) : (plus ? mu_c + alpha_c : mu_c - alpha_c);
    const float first = plus ? mu_s + alpha_1 : mu_s - alpha_1;
    return second ? first + alpha_2 : first - alpha_2;
  }
};

/// Where a block's levels lie among those that are stored, in the order of PlaneLevels; -1: left out.
std::array<int8_t, 7> level_places(const PlanesStorage& storage);

/// The scale of a row whose levels reach so far, 1 without -fp8; with it E4M3's greatest number, 448, stands for them.
float level_scale(const PlanesStorage& storage, float greatest);
/// Levels become what the storage can hold, those that it leaves out 0.
void round_levels(const PlanesStorage& storage, float scale, PlaneLevels& levels);

/// The bytes of the parts, in the order of greatest_parts. codes [rows, cols]: 2 second + sign; salient [cols]; levels
/// [rows, blocks], rounded, and their scales [rows]. The same bytes with threads and without.
std::vector<std::vector<std::byte>> pack_planes(const PlanesStorage& storage, int64_t rows, int64_t cols,
                                                const std::vector<uint8_t>& codes, const std::vector<uint8_t>& salient,
                                                const std::vector<PlaneLevels>& levels,
                                                const std::vector<float>& scales, ThreadPool* threads = nullptr);

}  // namespace bitloom
