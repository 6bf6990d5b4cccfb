#pragma once
// Activations rounded to integers under scales: what integer kernels read, made once for all readers of an input.

#include <array>
#include <cstdint>
#include <vector>

#include "base/shares.h"
#include "base/threads.h"
#include "kernels/bf16_gemm/bf16_gemm.h"
#include "kernels/int_dot/rounded_input.h"
#include "kernels/int_gemm/int_gemm.h"

namespace bitloom {

/// Buffers that only grow; kept from product to product, so that a decode step allocates nothing.
class InputBlocks {
 public:
  /// The input of the products that follow, x [tokens, cols], dense, which must stay until they are done. `scales`
  /// [tokens], or null: of tokens whose values are multiples of a scale already, see round_input.h.
  void begin(const float* x, int64_t tokens, int64_t cols, const float* scales = nullptr);

  /// x rounded (round_input.h), at the first call since begin(). Valid until the next begin().
  const RoundedInput& rounded(DotInput input, InputOrder order);
  /// Sums of its groups for one of a few readers, [tokens, ceil(cols / group)]. Valid until the next begin().
  const float* group_sums(DotInput input, InputOrder order, int64_t group, size_t reader);

  /// x rounded to 8 bits as int_gemm.h wants it, at the first call since begin(), by all threads. As above.
  const PanelInput& panels(ThreadPool& threads);
  /// x rounded to BF16 as bf16_gemm.h wants it. As above.
  const Bf16Input& bf16(ThreadPool& threads);

  /// Room for what a frame moves, so many values; what was there is lost.
  float* framed(int64_t count);

  /// Room for what low-rank terms make of the input, so many values.
  float* inner(int64_t count);

  /// Makes room for so many bytes on each of so many threads; then a thread's, at an address divisible by 64.
  void reserve_scratch(int threads, int64_t bytes);
  std::byte* scratch(int thread);

  /// For the loop over a product's rows.
  Shares& shares() { return shares_; }

 private:
  struct PanelForm {
    bool made = false;
    PanelInput view;
    std::vector<int8_t> digits;
    std::vector<float> scales, values16, values32;
    std::vector<int32_t> sums16, sums32;
  };
  struct Form {
    bool made = false;
    RoundedInput view;
    std::vector<int8_t> digits;
    std::vector<float> scales;
    std::vector<int32_t> high, rest;
  };
  Form& form(DotInput input, InputOrder order);

  const float *x_ = nullptr, *token_scales_ = nullptr;
  int64_t tokens_ = 0, cols_ = 0;
  std::array<Form, 2 * kInputOrders> forms_;
  PanelForm panels_;
  bool bf16_made_ = false;
  Bf16Input bf16_;
  std::vector<uint16_t> bf16_pairs_;
  std::vector<float> framed_, inner_;
  std::vector<std::vector<float>> sums_;         // by reader
  std::vector<std::vector<std::byte>> scratch_;  // by thread
  Shares shares_;
};

}  // namespace bitloom
