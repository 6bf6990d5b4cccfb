#pragma once
// What of a stored matrix can be learned, as vectors of its parts: how W [rows, cols] comes of them, and the gradient
// of a loss with respect to them from G = dL/dW. With V what its codes mean,
//
//   frame scales D_O, D_I     W = D_O V D_I           dL/dD_O[r] = sum_c G[r,c] V[r,c] D_I[c]
//   (format/side/frame.h)                             dL/dD_I[c] = sum_r D_O[r] G[r,c] V[r,c]
//   additive codebooks C and  W[r,c] = s(r) V[r,c]    dL/ds(r) = sum_c G[r,c] V[r,c]
//   row scales s (format/     V = sum_m C[m,code_m]   dL/dC[m,k] = sum of s(r) G[r,j] over the groups (r, j) that
//   families/vector)                                  have code k of codebook m
//   scales s of groups of     W[r,c] = s V[r,c]       dL/ds = sum of G V over the group
//   grids and affine codes
//   latent weights of grids,  W[r,c] = s Q(w[r,c]/s)  straight through rounding: latent_grid.h; the split of a
//   or a product that is                              minifloat's bits beside them: learned_format.h
//   added to them; scales
//   the same and factors      W[r,c] = s V[r,c]       dL/dA[r,k] = sum_c G[r,c] B[k,c]
//   A, B of a low-rank                 + (A B)[r,c]   dL/dB[k,c] = sum_r A[r,k] G[r,c]
//   product (format/side)
//
// (papers' learned page, 0.2.) Of a matrix with scales in its frame those are learned, of others without side terms, or
// with a low-rank product alone, what their base and the product have. Values are fp16 numbers, as they are stored;
// factors those that are nearest in their storage, straight through which gradients go (ApiQ-bw, 2402.05147, whose
// codes are found anew in each step; here they stay). Scales of another type stay as they are.
//
// Of additive codebooks the codes can be chosen anew, those that bring a group of weights nearest to others
// (code_step.h); of grids they follow latent weights, where those are asked for; of all other storages they stay.
//
// Goals: W is just what the stored matrix decodes to; the same bytes for any number of threads.
// Non-goals: zero points, levels.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/threads.h"
#include "pipeline/rounding/finished_matrix.h"
#include "tune/learned/vectors.h"

namespace bitloom {

/// A vector of a matrix.
struct LearnedPart {
  std::string suffix;         // of the stored part
  bool by_rows = false;       // a row's gradients reach a place of its own; else all rows add to the same places
  bool not_negative = false;  // as its storage asks
  std::vector<float> start;   // as it came
  // Makes of values those that are stored for them, and of which W comes; null: they are fp16 numbers and stay.
  std::function<void(std::vector<float>& values)> to_stored = nullptr;
  bool is_latent = false;  // fp32 numbers that are not stored themselves
  float least = 0;         // where they are not negative
  double size = 0;         // the scale of steps, where that is not the root mean square
};

/// Rows of dL/dW [count, cols], row `begin` first.
struct WeightGradient {
  int64_t begin = 0, count = 0;
  const float* g = nullptr;
};

class Parametrisation {
 public:
  virtual ~Parametrisation() = default;
  const std::vector<LearnedPart>& parts() const { return parts_; }

  /// What W is made of: values by place in parts(), and codes; null: those that came.
  struct Values {
    std::vector<const std::vector<float>*> parts;
    const std::vector<uint16_t>* codes = nullptr;
    const std::vector<float>& operator[](size_t part) const { return *parts[part]; }
  };
  using Sums = std::vector<double*>;  // of gradients, by place in parts()

  /// V [rows, cols].
  virtual std::vector<float> unscaled(const Values& values, ThreadPool& threads) const = 0;
  /// Row r of V becomes that of W.
  virtual void scale_row(const Values& values, int64_t r, float* row) const = 0;
  /// Adds to `sums`; v: the same rows of V.
  virtual void add_gradient(const Values& values, const WeightGradient& gradient, const float* v,
                            const Sums& sums) const = 0;

  /// Neighbouring weights of a row whose codes are chosen together, a tile; the last of a row may be narrower. 0: codes
  /// stay.
  virtual int64_t tile() const { return 0; }
  /// What a code can be: less than this.
  virtual int64_t entries() const { return 0; }
  /// As they came, [rows, tiles of a row, codes of a tile].
  virtual std::span<const uint16_t> codes() const { return {}; }
  /// For each of `tiles`, counted row by row, codes that bring W nearest to targets [tiles, tile()], by a beam that
  /// starts at its own, and so never farther: to codes [tiles, codes of a tile]; to moves [tiles, tile()] what they
  /// change W by.
  struct NearestCodes {
    std::vector<uint16_t> codes;
    std::vector<float> moves;
  };
  virtual NearestCodes nearest_codes(const Values& values, std::span<const int64_t> tiles,
                                     std::span<const float> targets, int64_t beam, ThreadPool& threads) const;

  /// Brings values, by place in parts(), back to where they may be, behind step `step` of `steps`, from 1.
  virtual void settle(const std::vector<std::vector<float>*>& /*values*/, int64_t /*step*/, int64_t /*steps*/) const {}

  /// The matrix with what is stored for these values of the parts, before to_stored, and these codes; all other parts
  /// are those of `matrix`, kept alive.
  virtual std::shared_ptr<const StoredMatrix> store(const std::string& name, std::shared_ptr<const StoredMatrix> matrix,
                                                    const Values& values) const;

 protected:
  explicit Parametrisation(std::vector<LearnedPart> parts) : parts_(std::move(parts)) {}

 private:
  std::vector<LearnedPart> parts_;
};

enum class Learned {
  kFrames,  // scales of frames alone
  kAll,
  kAllAndCodes,    // and codes of additive codebooks
  kAllAndWeights,  // and latent weights of grids
  kAllAndFormats,  // and the splits of minifloats
};

/// Of a matrix, by its name.
using Parametriser = std::function<std::unique_ptr<const Parametrisation>(
    const std::string& name, const std::shared_ptr<const StoredMatrix>& matrix)>;

/// Null where there is nothing to learn.
std::unique_ptr<const Parametrisation> parametrise(const std::string& name,
                                                   const std::shared_ptr<const StoredMatrix>& matrix, Learned what);

/// What learning a matrix takes.
struct LearnedSize {
  int64_t values = 0;              // that are learned
  int64_t bytes = 0;               // that are held besides them: codes, sums of panels
  int64_t weights = 0, codes = 0;  // of matrices whose codes are learned
  int64_t rounded = 0;             // latent weights
  double search = 0;               // flops of a search for all those codes, of one hypothesis
  LearnedSize& operator+=(const LearnedSize& other) {
    values += other.values, bytes += other.bytes, weights += other.weights, codes += other.codes;
    rounded += other.rounded, search += other.search;
    return *this;
  }
};
LearnedSize learned_size(const Storage& storage, int64_t rows, int64_t cols, Learned what);

/// Rows of a matrix's gradient that are made together, and how many such panels have sums of their own at a time.
inline constexpr int64_t kGradientPanel = 64, kGradientWave = 16;

/// out [end - begin, cols]: rows of which `piece` are decoded together; begin: a multiple of it.
void decode_pieces(const RowSource& rows, int64_t begin, int64_t end, int64_t piece, float* out, ThreadPool& threads);
/// All rows.
std::vector<float> decode_dense(const RowSource& rows, int64_t piece, ThreadPool& threads);
/// What suits it: blocks of a rotation are not decoded twice.
int64_t piece_of(const RowSource& rows);
/// Rows that are held at a time by what needs no more of them: whole pieces, as many rows as a wave of panels or more.
int64_t rows_of_wave(int64_t piece);

}  // namespace bitloom
