#include "tune/learner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "base/rng.h"
#include "report/numbers.h"

namespace bitloom {
namespace {

constexpr int64_t kChecksPerEpoch = 4;  // at most
// Progress counts rows that go forward once. A step recomputes each block, and its backward pass takes two products for
// each of the forward's.
constexpr int64_t kStepWork = 5;
constexpr uint64_t kOrderStream = 0x64697374696C6C;  // "distill"

/// Checks are spread evenly over each epoch, or over all steps.
bool checks_at(int64_t step, int64_t steps, const Split& split) {
  const int64_t round = std::min(static_cast<int64_t>(split.learned_from.size()), steps);
  return step == steps || step * kChecksPerEpoch / round != (step - 1) * kChecksPerEpoch / round;
}

double mean_square_root(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum / static_cast<double>(std::max<size_t>(values.size(), 1)));
}

}  // namespace

int64_t held_out_of(size_t batches, double share) {
  constexpr double kRounding = 1e-9;  // far above that of a product, far below what a batch more changes
  return static_cast<int64_t>(std::floor(static_cast<double>(batches) * share + kRounding));
}

Split split_batches(size_t batches, double share) {
  Split split;
  for (size_t b = 0; b < batches; ++b) {
    const bool last = b + 1 == batches && split.held_out.empty();
    const bool out = held_out_of(b + 1, share) > held_out_of(b, share) || last;
    (out ? split.held_out : split.learned_from).push_back(b);
  }
  return split;
}

int64_t checks_of_epoch(const Split& split) {
  return std::min(kChecksPerEpoch, static_cast<int64_t>(split.learned_from.size()));
}

int64_t steps_of(const LearningPlan& plan, const Split& split) {
  const int64_t all = plan.epochs * static_cast<int64_t>(split.learned_from.size());
  return plan.steps > 0 ? std::min(all, plan.steps) : all;
}

int64_t checks_of(const LearningPlan& plan, const Split& split) {
  const int64_t steps = steps_of(plan, split);
  int64_t checks = 0;
  for (int64_t step = 1; step <= steps; ++step) checks += checks_at(step, steps, split) ? 1 : 0;
  return checks;
}

int64_t rows_of(const std::vector<int64_t>& rows, const std::vector<size_t>& places) {
  int64_t sum = 0;
  for (const size_t place : places) sum += rows[place];
  return sum;
}

Learner::Learner(Objective& objective, LearningPlan plan,
                 std::function<void(int64_t rows, const std::string& where)> advance, Progress& progress)
    : objective_(objective),
      plan_(std::move(plan)),
      advance_(std::move(advance)),
      progress_(progress),
      sizes_(objective.sizes()),
      split_(plan_.split ? *plan_.split : split_batches(plan_.rows.size())),
      steps_(steps_of(plan_, split_)) {
  state_.codes = objective.begin_codes();
  for (const auto& [name, w] : state_.codes.wanted) code_sizes_[name] = mean_square_root(w);
  if (plan_.checkpoint.empty() || !std::filesystem::exists(plan_.checkpoint)) return;
  ExpectedState expected{objective.vectors(), {}, steps_, plan_.run};
  for (const auto& [name, entries] : objective.code_entries()) {
    expected.codes[name] = {state_.codes.codes.at(name).size(), state_.codes.wanted.at(name).size(), entries};
  }
  state_ = {};  // B and v are not held twice
  state_ = load_state(plan_.checkpoint, expected);
  goes_on_ = true;
}

int64_t Learner::work_left() const {
  if (state_.done || split_.learned_from.empty()) return 0;
  const int64_t held_out = rows_of(plan_.rows, split_.held_out), taken = state_.adam.steps;
  int64_t work = goes_on_ ? 0 : held_out;
  for (int64_t step = taken + 1; step <= steps_; ++step) work += checks_at(step, steps_, split_) ? held_out : 0;
  return work + kStepWork * rows_of(plan_.rows, split_.learned_from) * (steps_ - taken) /
                    static_cast<int64_t>(split_.learned_from.size());
}

std::vector<size_t> Learner::order_of(int64_t epoch) const {
  std::vector<size_t> order = split_.learned_from;
  Rng rng(plan_.seed, kOrderStream + static_cast<uint64_t>(epoch));
  for (size_t left = order.size(); left > 1; --left) {
    std::swap(order[left - 1], order[static_cast<size_t>(rng.uniform_double() * static_cast<double>(left))]);
  }
  return order;
}

/// The mean over the rows that are held out.
double Learner::held_out_loss() {
  double sum = 0;
  for (const size_t b : split_.held_out) {
    sum += objective_.loss(b, nullptr, {}) * static_cast<double>(plan_.rows[b]);
    advance_(plan_.rows[b], fmt::format("step {}/{}, held-out {}", state_.adam.steps, steps_, plan_.loss));
  }
  return sum / static_cast<double>(rows_of(plan_.rows, split_.held_out));
}

void Learner::end(const std::string& why) {
  state_.done = true;
  if (!why.empty()) progress_.log(fmt::format("{}: ends after step {}: {}", plan_.name, state_.adam.steps, why));
  if (!plan_.checkpoint.empty() && std::isfinite(state_.held_out.first)) save(plan_.checkpoint, state_, plan_.run);
}

void Learner::run() {
  if (!state_.done) {
    if (goes_on_) {
      progress_.log(fmt::format("{}: going on after step {} of {}", plan_.name, state_.adam.steps, steps_));
      objective_.set(state_.adam.values);
      objective_.set_codes(state_.codes.codes);
    } else {
      state_.adam = begin_adam(objective_.vectors());
      state_.best = objective_.vectors(), state_.best_codes = state_.codes.codes;
      state_.held_out.first = state_.held_out.best = held_out_loss();
      if (plan_.tells) {
        progress_.log(fmt::format("{}: held-out {} before the first of {} steps: {}", plan_.name, plan_.loss, steps_,
                                  format_significant(state_.held_out.first, 5)));
      }
      if (!std::isfinite(state_.held_out.first)) end(fmt::format("the held-out {} is not finite", plan_.loss));
    }
    while (!state_.done && state_.adam.steps < steps_) take_step();
    if (!state_.done) end("");
  }
  objective_.set(state_.best);
  objective_.set_codes(state_.best_codes);
}

/// A step that turns out not to be finite leaves B without meaning: learning ends there.
OfWeights Learner::wanted_mover(int64_t step) {
  if (!learns_codes()) return {};
  return [this, rate = cosine_rate(plan_.codes.rate, step, steps_), step](const std::string& name, int64_t first,
                                                                          std::span<const float> g) {
    float *wanted = state_.codes.wanted.at(name).data() + first, *second = state_.codes.second.at(name).data() + first;
    move_wanted(g, rate * code_sizes_.at(name), step + 1, wanted, second);
  };
}

void Learner::take_step() {
  const auto per_epoch = static_cast<int64_t>(split_.learned_from.size());
  const int64_t step = state_.adam.steps;
  const size_t batch = order_of(step / per_epoch)[static_cast<size_t>(step % per_epoch)];
  VectorGradients gradients;
  const double loss = objective_.loss(batch, &gradients, wanted_mover(step));
  if (!std::isfinite(loss) || !are_finite(gradients, state_.adam)) {
    return end("its loss or gradient is not finite");
  }
  adam_step(gradients, sizes_, cosine_rate(plan_.rate, step, steps_, plan_.warm_up), state_.adam, plan_.decay);
  objective_.settle(state_.adam.values, state_.adam.steps, steps_);
  objective_.set(state_.adam.values);
  if (learns_codes()) objective_.choose_codes(plan_.codes, state_.codes);
  advance_(kStepWork * plan_.rows[batch],
           fmt::format("step {}/{}, {} {}", step + 1, steps_, plan_.loss, format_significant(loss, 3)));
  if (checks_at(state_.adam.steps, steps_, split_)) check();
}

void Learner::check() {
  HeldOut& held_out = state_.held_out;
  const double now = held_out_loss();
  if (now < held_out.best) {
    held_out.best = now, held_out.best_step = state_.adam.steps, held_out.checks_since = 0;
    state_.best = objective_.vectors(), state_.best_codes = state_.codes.codes;
  } else {
    ++held_out.checks_since;
  }
  if (plan_.tells) {
    progress_.log(fmt::format("{}: step {} of {}: held-out {} {}, the least {} by step {}", plan_.name,
                              state_.adam.steps, steps_, plan_.loss, format_significant(now, 5),
                              format_significant(held_out.best, 5), held_out.best_step));
  }
  if (!std::isfinite(now)) return end(fmt::format("the held-out {} is not finite", plan_.loss));
  if (plan_.ends_early && held_out.checks_since >= checks_of_epoch(split_)) return end("an epoch without gain");
  if (!plan_.checkpoint.empty()) save(plan_.checkpoint, state_, plan_.run);
}

}  // namespace bitloom
