#pragma once
// The vectors of a large codebook in cells of neighbours, so that a search looks at the nearest cells only, beside
// exhaustive search (candidates.h; papers' learned page, 1.10, "approximate probing"). Near is what the score makes so:
// with a metric H [G, G], symmetric and not negative,
//
//   score(c) = weight c H c^T - d . c                         least at the nearest c, where errors count by H
//   cell(c)  = argmin_k (c - z_k) H (c - z_k)^T,   z_k = mean of the vectors of cell k
//
// and the cells that a search looks at are those of the least score(z_k). A vector that it misses lies in a cell whose
// mean is farther; no bound says that it is not nearer itself, so what is found is compared with the exhaustive search
// in tests, and by round_bench.
//
// Goals: scores of the vectors that it looks at are those of the exhaustive search to the last bit. Memory:
// (G + 1) 4 + 4 bytes a vector, each cell filled up to 16 of them.

#include <cstdint>
#include <span>
#include <vector>

#include "round/vector/search/candidates.h"

namespace bitloom {

/// How many cells suit a codebook of so many entries: its square root, a power of two; 1, which is all of it in one,
/// where it is so small that a search for cells would take as long as one among all entries.
int64_t cells_of(int64_t entries);

/// Means [cells, G] that cells begin with: k-means of the codebook [entries, G] by one metric, on a sample.
std::vector<float> first_cells(const float* codebook, int64_t entries, int64_t group, int64_t cells,
                               const float* metric);

class CodeCells {
 public:
  /// codebook [entries, G]; products [entries, G] = C H, norms [entries] = c H c^T; first [cells, G], the means that
  /// one turn of k-means by this metric begins with.
  CodeCells(const float* codebook, const float* products, const float* norms, int64_t entries, int64_t group,
            const float* metric, std::span<const float> first);

  int64_t count() const { return static_cast<int64_t>(begins_.size()) - 1; }
  /// The means z_k as candidates; a cell without vectors is never chosen.
  CandidateRun means() const { return {means_.columns(), mean_norms_.data(), means_.padded(), 0}; }
  /// Its vectors, numbered by place.
  CandidateRun cell(int64_t k) const;
  int64_t places() const { return begins_.back(); }

  uint16_t code_at(int64_t place) const { return codes_[static_cast<size_t>(place)]; }
  int64_t place_of(int64_t code) const { return places_[static_cast<size_t>(code)]; }
  int64_t cell_of(int64_t code) const { return cells_[static_cast<size_t>(code)]; }

 private:
  void assign(const float* products, int64_t entries);
  void move(const float* codebook, const float* metric);
  void lay_out(const float* codebook, const float* norms);

  int64_t group_;
  Candidates means_;
  std::vector<float> mean_values_, mean_norms_;  // [cells, G], [padded]
  std::vector<uint16_t> cells_;                  // [entries]
  std::vector<int64_t> begins_;                  // [cells + 1]: places
  std::vector<float> columns_, norms_;           // of each cell [G, padded], back to back; [places]
  std::vector<uint16_t> codes_;                  // [places]
  std::vector<uint32_t> places_;                 // [entries]
};

/// Bytes of the cells of one codebook, at most.
int64_t cell_bytes(int64_t entries, int64_t group);

/// Scores of the vectors in the cells nearest to one place; holds the scratch of a thread.
class CellSearch {
 public:
  CellSearch(int64_t entries, int64_t probes);
  /// Fills `scores`, which has room for all places, from the `probes` cells of least score (more where some are equal),
  /// and from that of code `own`; -1: none. Which of them is own's.
  int64_t find(const CodeCells& cells, int64_t group, const float* direction, float weight, int64_t own,
               Scores& scores);

 private:
  int64_t probes_;
  Scores of_means_;
  std::vector<float> sorted_;
};

}  // namespace bitloom
