#include "ops/input_blocks.h"

#include <cassert>
#include <memory>

#include "kernels/int_dot/round_input.h"

namespace bitloom {
namespace {

template <typename T>
void grow(std::vector<T>& buffer, int64_t count) {
  if (static_cast<int64_t>(buffer.size()) < count) buffer.resize(static_cast<size_t>(count));
}

}  // namespace

void InputBlocks::begin(const float* x, int64_t tokens, int64_t cols, const float* scales) {
  x_ = x, tokens_ = tokens, cols_ = cols, token_scales_ = scales;
  for (Form& form : forms_) form.made = false;
  panels_.made = bf16_made_ = false;
}

InputBlocks::Form& InputBlocks::form(DotInput input, InputOrder order) {
  assert(input != DotInput::kF32);
  const size_t index = (input == DotInput::kInt24 ? kInputOrders : 0) + static_cast<size_t>(order);
  Form& form = forms_[index];
  if (form.made) return form;
  const int64_t planes = input == DotInput::kInt24 ? 3 : 1;
  const int64_t stride = (cols_ + kInputPadding - 1) / kInputPadding * kInputPadding;
  const int64_t lanes = stride / lane_columns(order);
  grow(form.digits, tokens_ * planes * stride), grow(form.scales, tokens_ * lanes);
  grow(form.high, tokens_ * lanes), grow(form.rest, tokens_ * lanes);
  for (int64_t t = 0; t < tokens_; ++t) {
    round_input(x_ + t * cols_, cols_, input, order,
                {form.digits.data() + t * planes * stride, form.scales.data() + t * lanes, form.high.data() + t * lanes,
                 form.rest.data() + t * lanes, stride},
                token_scales_ == nullptr ? 0 : token_scales_[t]);
  }
  form.view = {form.digits.data(), form.scales.data(), form.high.data(), planes == 3 ? form.rest.data() : nullptr,
               stride};
  form.made = true;
  return form;
}

float* InputBlocks::framed(int64_t count) {
  grow(framed_, count);
  return framed_.data();
}

float* InputBlocks::inner(int64_t count) {
  grow(inner_, count);
  return inner_.data();
}

const RoundedInput& InputBlocks::rounded(DotInput input, InputOrder order) { return form(input, order).view; }

const float* InputBlocks::group_sums(DotInput input, InputOrder order, int64_t group, size_t reader) {
  if (sums_.size() <= reader) sums_.resize(reader + 1);
  std::vector<float>& sums = sums_[reader];
  const int64_t groups = (cols_ + group - 1) / group;
  grow(sums, tokens_ * groups);
  for (int64_t t = 0; t < tokens_; ++t) {
    sum_groups(rounded(input, order), order, t, cols_, group, sums.data() + t * groups);
  }
  return sums.data();
}

const PanelInput& InputBlocks::panels(ThreadPool& threads) {
  if (panels_.made) return panels_.view;
  PanelForm& form = panels_;
  const int64_t stride = (cols_ + kInputPadding - 1) / kInputPadding * kInputPadding, padded = padded_tokens(tokens_);
  grow(form.digits, padded * stride), grow(form.scales, padded * (stride / 32));
  grow(form.sums16, padded * (stride / 16)), grow(form.values16, padded * (stride / 16));
  grow(form.sums32, padded * (stride / 32)), grow(form.values32, padded * (stride / 32));
  form.view = {form.digits.data(),
               form.scales.data(),
               form.sums16.data(),
               form.sums32.data(),
               form.values16.data(),
               form.values32.data(),
               stride};
  threads.parallel_for((tokens_ + kTokenBlock - 1) / kTokenBlock,
                       [&](int64_t block) { round_token_block(x_, tokens_, cols_, block, form.view, token_scales_); });
  form.made = true;
  return form.view;
}

const Bf16Input& InputBlocks::bf16(ThreadPool& threads) {
  if (bf16_made_) return bf16_;
  grow(bf16_pairs_, bf16_input_size(tokens_, cols_));
  bf16_ = {bf16_pairs_.data(), bf16_input_stride(cols_)};
  threads.parallel_for((tokens_ + kBf16TokenBlock - 1) / kBf16TokenBlock,
                       [&](int64_t block) { round_to_bf16(x_, tokens_, cols_, block, bf16_); });
  bf16_made_ = true;
  return bf16_;
}

void InputBlocks::reserve_scratch(int threads, int64_t bytes) {
  if (static_cast<int>(scratch_.size()) < threads) scratch_.resize(static_cast<size_t>(threads));
  for (std::vector<std::byte>& buffer : scratch_) grow(buffer, bytes + 64);
}

std::byte* InputBlocks::scratch(int thread) {
  std::vector<std::byte>& buffer = scratch_[static_cast<size_t>(thread)];
  void* at = buffer.data();
  size_t space = buffer.size();
  return static_cast<std::byte*>(std::align(64, space - 64, at, space));
}

}  // namespace bitloom
