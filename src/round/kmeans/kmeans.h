#pragma once
// Rounding onto codebooks by k-means (Lloyd, 1957): each table's levels minimise the squared error of the weights that
// share it, and each weight takes its nearest level. Needs no data.
//
// Goals: every storage of the family "codebook", mixed widths and reserved outliers included; the same bytes for any
// number of threads. Non-goals: weights of the loss; the last half percent that the exact optimum is better by
// (exact_kmeans.h).

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/threads.h"
#include "format/stored_matrix.h"
#include "round/report.h"
#include "round/rounding.h"

namespace bitloom {

/// Recipes call it "kmeans".
struct KMeansRounding {
  int64_t iterations = 50;  // at most; it ends where nothing moves
  double outliers = 0;      // share of the weights that is reserved in fp16, beside the codebook
  bool operator==(const KMeansRounding&) const = default;
};
extern const RoundingRow kKMeansMethod;
Needs needs_of(const KMeansRounding& options);
bool rounds_onto(const KMeansRounding& options, const Storage& storage);
Storage storage_by(const KMeansRounding& options, Storage wanted);
RoundingCost cost_of(const KMeansRounding& options, const RoundingShape& shape);
Rounded round_by(const KMeansRounding& options, const RoundingProblem& problem);

/// Levels of one table: `levels` of them, ascending, for values [n] in ascending order (n >= 1): the fast path of
/// exact_kmeans.h with so many turns of Lloyd's algorithm at most. Rounded to fp16, in which they are stored.
std::vector<float> kmeans_levels(const std::vector<float>& sorted, int64_t levels, int64_t iterations);

/// Time of one k-means over all tables, in weights rounded to nearest: 25 each, since a table's weights are sorted and
/// fitted from two starts (whole runs of SmolLM2-135M: 12.1 s of CPU time to codebook3-col, 0.95 s to int4-g128; both
/// hash and write alike).
double kmeans_work(const RoundingShape& shape);

/// codes [n] of the nearest of ascending levels (at most 256): a value above the middle of two takes the upper one.
void encode_levels(const std::vector<float>& levels, const float* x, int64_t n, uint8_t* codes);
/// Each level becomes the mean of the x [codes.size()] that it stands for, weighted by masses where there are such,
/// those left out (1) not counted; rounded to fp16. A level that stands for none stays. Ascending levels stay so.
void move_levels(const float* x, const std::vector<uint8_t>& codes, const std::vector<float>& masses,
                 const std::vector<uint8_t>& left_out, std::vector<float>& levels);
/// encode_levels() by the levels as they are, then move_levels(). Codes have the size of x.
void encode_and_move(const float* x, const std::vector<float>& masses, const std::vector<uint8_t>& left_out,
                     std::vector<float>& levels, std::vector<uint8_t>& codes);
/// out [n]: the levels that codes [n] stand for.
void decode_levels(const std::vector<float>& levels, const uint8_t* codes, int64_t n, float* out);
/// The greatest fp16: levels and weights lie within.
inline constexpr float kMostF16 = 65504.0f;
/// visit(first row, rows, weights [rows, cols]) for tiles of W that are its rows once, concurrently. Error(kRefused)
/// naming `name` and the place for a weight that is not finite or beyond fp16.
using RowsVisit = std::function<void(int64_t first, int64_t rows, const float* w)>;
void visit_for_codebook(const std::string& name, const RowSource& w, ThreadPool& threads, const RowsVisit& visit);
/// W [rows, cols]. Errors as visit_for_codebook().
std::vector<float> load_for_codebook(const std::string& name, const RowSource& w, ThreadPool& threads);

/// Bits of every table of a codebook for W: those of the storage; of a broken width, as many columns as it allows get
/// one more, those with the greatest error at the smaller. Errors as quantize_kmeans.
std::vector<int> codebook_widths(const std::string& name, const RowSource& w, const Storage& storage,
                                 const KMeansRounding& options, ThreadPool& threads);

/// W [rows, cols] onto `storage`, which must be a codebook (Error(kUsage) otherwise). With reserved outliers the
/// storage's share of all weights, those of the greatest magnitude, is left out of the fit and kept in fp16. Columns of
/// a broken width: as many as the width allows get the greater one, those with the greatest error at the smaller.
/// Error(kRefused) naming `name` and the place for a weight that is not finite or beyond fp16. Memory: W in fp32 twice.
std::shared_ptr<const StoredMatrix> quantize_kmeans(const std::string& name, const RowSource& w, const Storage& storage,
                                                    const KMeansRounding& options, ThreadPool& threads,
                                                    RoundReport* report = nullptr);

}  // namespace bitloom
