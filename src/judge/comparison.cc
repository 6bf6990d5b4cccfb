#include "judge/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "eval/logits/replayed_logits.h"
#include "judge/runner.h"
#include "report/numbers.h"

namespace bitloom {
namespace {

constexpr int64_t kUsualContext = 512;
constexpr int64_t kBins = 16;                                  // of places in the window
constexpr int64_t kSpanTokens = 24, kWorstSpans = 5;           // of each model
constexpr int64_t kOpeningTokens = 96;                         // of the passage that is the same for all
constexpr int64_t kMostKept = int64_t{4} << 30;                // bytes of the reference's hidden states
constexpr const char* kPrompt = "The first thing to know is";  // to measure speed: any will do

/// Base names where they are unique, else paths.
std::vector<std::string> names_of(const std::vector<std::string>& paths) {
  std::multiset<std::string> all;
  for (const std::string& path : paths) all.insert(base_name(path));
  std::vector<std::string> names;
  names.reserve(paths.size());
  for (const std::string& path : paths) names.push_back(all.count(base_name(path)) > 1 ? path : base_name(path));
  return names;
}

JudgedSpan judged(const TokenSpan& span, std::span<const RowDivergence> rows) {
  const auto part = rows.subspan(static_cast<size_t>(span.row), static_cast<size_t>(span.count));
  return {span, {part.begin(), part.end()}};
}

TokenSpan opening_of(std::span<const RowDivergence> rows, const TextWindows& windows) {
  const TextWindows::Window& window = windows.windows.front();
  TokenSpan span{.window = 0, .first = window.first_scored, .count = std::min(kOpeningTokens, window.scored())};
  for (int64_t i = 0; i < span.count; ++i) span.kl += rows[static_cast<size_t>(i)].kl / static_cast<double>(span.count);
  return span;
}

class Comparing {
 public:
  Comparing(const ComparePlan& plan, Context& context, const Warn& warn)
      : plan_(plan), context_(context), warn_(warn), skills_(plan.skills) {}

  Comparison run() {
    check_flags();
    open_all();
    if (plan_.per_byte) {
      for (size_t i = 0; i < checkpoints_.size(); ++i) judge_alone(i);
    } else {
      judge_against_reference();
    }
    return std::move(out_);
  }

 private:
  bool reference_is_file() const { return is_reference_file(plan_.reference); }

  void check_flags() const {
    if (plan_.models.empty()) misuse("compare: no MODEL");
    if (plan_.per_byte) {
      if (plan_.text.windows > 0) misuse("--per-byte: is of the whole text, not of --windows {}", plan_.text.windows);
      if (reference_is_file()) misuse("--per-byte: --ref {} holds no model to judge", plan_.reference);
    } else if (plan_.reference.empty()) {
      misuse("compare: --ref MODEL or FILE is required; without one, --per-byte compares how well each predicts");
    }
  }

  /// Opens every model and reads the text, so that what cannot be compared is told before hours of work.
  void open_all() {
    out_.has_reference_model = !plan_.reference.empty() && !reference_is_file();
    std::vector<std::string> paths = plan_.models;
    if (out_.has_reference_model) paths.insert(paths.begin(), plan_.reference);
    const std::vector<std::string> names = names_of(paths);
    TextOptions options = plan_.text;
    if (plan_.per_byte) options.protocol = "rolling";
    for (size_t i = 0; i < paths.size(); ++i) {
      checkpoints_.push_back(Checkpoint::open(paths[i], warn_));
      texts_.push_back(cut_evaluation_text(options, *checkpoints_[i], kUsualContext, warn_));
      options.context = texts_.front().options.context;  // the same for all
      ComparedModel model;
      model.path = paths[i];
      model.name = names[i];
      model.size = size_of(*checkpoints_[i]);
      model.manifest = manifest_of(*checkpoints_[i]);
      model.calibrated_on = texts_[i].calibrated_on;
      out_.models.push_back(std::move(model));
    }
    out_.reader = checkpoints_.front();
    out_.text = texts_.front();
    if (!plan_.per_byte) check_tokens();
  }

  void check_tokens() const {
    for (size_t i = 1; i < checkpoints_.size(); ++i) {
      const std::string mismatch = token_mismatch(*checkpoints_[i], *checkpoints_.front(), texts_[i]);
      if (!mismatch.empty())
        refuse("{}: KL between them would compare different events; --per-byte compares bits per byte of text instead",
               mismatch);
    }
  }

  void judge_alone(size_t i) {
    Runner runner = make_runner(checkpoints_[i], context_.threads);
    ComparedModel& model = out_.models[i];
    model.perplexity = perplexity(*runner.logits, texts_[i].windows, context_);
    finish(*runner.decoder, i);
  }

  void judge_against_reference() {
    if (!out_.has_reference_model) {
      for (size_t i = 0; i < checkpoints_.size(); ++i)
        judge(i, *open_reference_rows(plan_.reference, texts_[i].windows, checkpoints_[i]->tokenizer().hash(),
                                      texts_[i].sha256));
      return;
    }
    Runner runner = make_runner(checkpoints_.front(), context_.threads);
    int64_t tokens = 0;
    for (const TextWindows::Window& window : out_.text.windows.windows) tokens += std::ssize(window.tokens);
    const bool keep = plan_.models.size() > 1 && tokens * runner.decoder->hidden_width() * 4 <= kMostKept;
    ReplayedLogits replayed(*runner.decoder);
    const auto reference = rows_of(keep ? static_cast<LogitsSource&>(replayed) : *runner.logits);
    finish(*runner.decoder, 0);
    for (size_t i = 1; i < checkpoints_.size(); ++i) judge(i, *reference);
  }

  void judge(size_t i, ReferenceRows& reference) {
    Runner runner = make_runner(checkpoints_[i], context_.threads);
    const TextWindows& windows = out_.text.windows;
    const std::vector<RowDivergence> rows = divergence_rows(reference, *runner.logits, windows, context_);
    ComparedModel& model = out_.models[i];
    std::vector<double> losses, reference_losses;
    for (const RowDivergence& row : rows) losses.push_back(row.nll_q), reference_losses.push_back(row.nll_p);
    model.perplexity = perplexity_of(losses, windows);
    if (out_.has_reference_model) out_.models.front().perplexity = perplexity_of(reference_losses, windows);
    model.kl = summarize(rows, windows);
    model.by_position = kl_by_position(rows, windows, kBins);
    model.opening = judged(opening_of(rows, windows), rows);
    for (const TokenSpan& span : worst_spans(rows, windows, kSpanTokens, kWorstSpans))
      model.worst.push_back(judged(span, rows));
    finish(*runner.decoder, i);
  }

  void finish(Decoder& decoder, size_t i) {
    ComparedModel& model = out_.models[i];
    if (plan_.speed_tokens > 0)
      model.tokens_per_second = decode_speed(decoder, checkpoints_[i]->tokenizer(), kPrompt, plan_.speed_tokens);
    model.skills = skills_.judge(*checkpoints_[i], decoder, context_);
    context_.progress.log(fmt::format("[{}/{}] {}", ++done_, checkpoints_.size(), model.name));
  }

  const ComparePlan& plan_;
  Context& context_;
  const Warn& warn_;
  SkillTest skills_;
  std::vector<std::shared_ptr<const Checkpoint>> checkpoints_;  // as out_.models
  std::vector<EvaluationText> texts_;                           // as each of them reads it
  Comparison out_;
  size_t done_ = 0;
};

}  // namespace

const Skill* reference_skill(const Comparison& comparison, const ComparedModel& model, size_t i) {
  if (!comparison.has_reference_model || &model == &comparison.models.front()) return nullptr;
  return &comparison.models.front().skills[i];
}

Comparison compare_models(const ComparePlan& plan, Context& context, const Warn& warn) {
  return Comparing(plan, context, warn).run();
}

}  // namespace bitloom
