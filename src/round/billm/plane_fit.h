#pragma once
// Levels and codes of one row's block of binary planes (format/families/planes): BiLLM's own, and their refinement in
// turns as ARB-LLM does (Li et al. 2025; papers' column-wise page, 4.11).

#include <cstdint>
#include <vector>

#include "format/families/planes/planes_matrix.h"

namespace bitloom {

struct RowBlock {
  int64_t cols = 0;
  const float* w = nullptr;          // [cols]
  const float* h = nullptr;          // [cols]: what an error costs
  const uint8_t* salient = nullptr;  // [cols]
  bool zero_mean = false;
};

/// BiLLM's levels: R1 of the concentrated and of the outer weights, R2 of the salient ones
/// (round/billm/block_search.h). `outer` [cols]: of columns that are not salient.
PlaneLevels fit_planes(const RowBlock& row, const uint8_t* outer);

/// codes [cols], 2 second + sign, of the nearest values. With `outer`, a weight that is not salient keeps its group;
/// null: it takes the nearest of both groups' values.
void choose_codes(const RowBlock& row, const PlaneLevels& levels, const uint8_t* outer, uint8_t* codes);

/// Levels that make the least squared error with these codes: of each group apart; of salient weights mu, alpha_1,
/// alpha_2 in turns. Levels of groups without members stay.
void refit_levels(const RowBlock& row, const uint8_t* codes, PlaneLevels& levels);

/// sum h (w - value)^2.
double plane_error(const RowBlock& row, const PlaneLevels& levels, const uint8_t* codes);

}  // namespace bitloom
