#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "eval/tasks/prompt/unicode_blanks.h"
#include "eval/tasks/results.h"
#include "io/text_data.h"
#include "tokenize/text/regex.h"

namespace bitloom {
namespace {

constexpr char kPerplexity[] = "perplexity";

// What an option's log-likelihood is divided by.
double norm_of(const std::string& metric, const ScoredOption& option) {
  if (metric == "acc_norm") return static_cast<double>(option.characters);
  if (metric == "acc_bytes") return static_cast<double>(option.bytes);
  return 1;
}

// argmax_i ll_i / norm_i, the lowest i among equals.
size_t likeliest(const std::string& metric, std::span<const ScoredOption> options) {
  const auto score = [&](const ScoredOption& option) {
    return option.likelihood.log_likelihood / norm_of(metric, option);
  };
  size_t best = 0;
  for (size_t i = 1; i < options.size(); ++i)
    if (score(options[i]) > score(options[best])) best = i;
  return best;
}

Verdict verdict_of(const std::string& metric, const ItemResult& item) {
  const Likelihood& first = item.options.front().likelihood;
  if (metric == kPerplexity) return {first.log_likelihood, ""};
  if (item.gold < 0) return {first.greedy ? 1.0 : 0.0, ""};
  const size_t prediction = likeliest(metric, item.options);
  return {static_cast<int64_t>(prediction) == item.gold ? 1.0 : 0.0, std::to_string(prediction)};
}

std::string without_blanks(std::string text) {
  text.resize(text.size() - trailing_blanks(text));
  size_t begin = 0;
  while (begin < text.size() && is_blank(std::string_view(text).substr(begin, 1))) ++begin;
  return text.substr(begin);
}

std::optional<std::string> answer_in(const std::string& text, const Extraction& extraction) {
  RegexScratch scratch;
  std::vector<std::string> matches;
  Regex(extraction.pattern).split(text, scratch, [&](size_t begin, size_t end, bool match) {
    if (match) matches.push_back(text.substr(begin, end - begin));
  });
  if (matches.empty()) return std::nullopt;
  return without_blanks(extraction.last ? matches.back() : matches.front());
}

std::string without_ignored(std::string text, const std::vector<std::string>& patterns) {
  RegexScratch scratch;
  for (const std::string& pattern : patterns) {
    std::string kept;
    Regex(pattern).split(text, scratch, [&](size_t begin, size_t end, bool match) {
      if (!match) kept += text.substr(begin, end - begin);
    });
    text = kept;
  }
  return text;
}

}  // namespace

void judge_options(const Task& task, ItemResult& item) {
  for (const std::string& metric : task.metrics) item.verdicts[metric] = verdict_of(metric, item);
}

void judge_text(const Task& task, ItemResult& item) {
  const std::string target = without_ignored(item.target, task.ignore);
  for (const Extraction& extraction : task.extract) {
    const std::string metric = extraction.name.empty() ? "exact_match" : "exact_match_" + extraction.name;
    const std::optional<std::string> answer = answer_in(item.text, extraction);
    const bool right = answer && without_ignored(*answer, task.ignore) == target;
    item.verdicts[metric] = {right ? 1.0 : 0.0, answer.value_or("")};
  }
}

std::vector<MetricResult> summarize(std::span<const ItemResult> items) {
  std::vector<MetricResult> result;
  if (items.empty()) return result;
  const auto n = static_cast<double>(items.size());
  for (const auto& [name, unused] : items.front().verdicts) {
    double sum = 0, squares = 0;
    for (const ItemResult& item : items) sum += item.verdicts.at(name).value;
    const double mean = sum / n;
    for (const ItemResult& item : items) squares += std::pow(item.verdicts.at(name).value - mean, 2);
    MetricResult metric{name, mean, std::sqrt(squares / (n - 1) / n)};
    if (name == kPerplexity) metric.value = std::exp(-mean), metric.standard_error *= metric.value;
    if (items.size() == 1) metric.standard_error = std::numeric_limits<double>::quiet_NaN();
    result.push_back(metric);
  }
  return result;
}

}  // namespace bitloom
