#include "eval/arithmetic/json.h"

#include "base/error.h"
#include "io/text_data.h"

namespace bitloom::arithmetic {
namespace {

std::string op_text(Operation operation) { return {static_cast<char>(operation)}; }

template <typename T>
void put(Json& record, const char* key, const std::optional<T>& value) {
  if (value) record[key] = *value;
}

Json to_json(const AnswerToken& token) {
  const StepStats& stats = token.stats;
  Json record = {{"id", token.id},   {"text", token.text},       {"logprob", stats.logprob},
                 {"gap", stats.gap}, {"entropy", stats.entropy}, {"entropy_bound", stats.entropy_bound}};
  put(record, "true_rank", stats.true_rank);
  put(record, "true_logprob", stats.true_logprob);
  put(record, "off_by_one_rank", token.ranks.off_by_one);
  put(record, "first_digit_rank", token.ranks.first_digit);
  put(record, "more_frequent", token.ranks.more_frequent);
  return record;
}

void put_metrics(const Row& row, Json& record) {
  const RowMetrics& m = row.metrics;
  record.update(
      {{"valid", m.valid}, {"correct", m.correct}, {"format_match", m.format_match}, {"kind", to_string(m.kind)}});
  put(record, "carries", m.carries);
  put(record, "longest_carry_chain", m.longest_carry_chain);
  put(record, "length_match", m.length_match);
  if (!m.valid) return;
  record.update({{"given", row.answer.digits},
                 {"right_length", m.right_length},
                 {"digit_errors", m.digit_errors},
                 {"token_errors", m.token_errors},
                 {"chunks", row.chunks},
                 {"dropped_digit", m.dropped_digit},
                 {"left_aligned", m.left_aligned},
                 {"chunkwise_left", m.chunkwise_left},
                 {"chunkwise_right", m.chunkwise_right},
                 {"off_by_one_at_chunk_end", m.off_by_one_at_chunk_end}});
  put(record, "error", m.error);
  put(record, "off_by_one_power", m.off_by_one_power);
}

Json to_json(const Tally& tally) {
  const Interval interval = tally.interval();
  return {{"rows", tally.rows},           {"valid", tally.valid},
          {"correct", tally.correct},     {"format_match", tally.format_match},
          {"accuracy", tally.accuracy()}, {"accuracy_ci95", {interval.low, interval.high}}};
}

Json to_json(const TokenSummary& token) {
  return {{"rows", token.rows},
          {"entropy", token.entropy},
          {"entropy_bound", token.entropy_bound},
          {"logprob", token.logprob},
          {"gap", token.gap},
          {"wrong", token.wrong},
          {"more_frequent", token.more_frequent},
          {"less_frequent", token.less_frequent},
          {"off_by_one_ranks", token.off_by_one_ranks},
          {"first_digit_ranks", token.first_digit_ranks}};
}

Json to_json(const GroupSummary& group) {
  Json record = to_json(group.tally);
  record["off_by_one"] = group.off_by_one;
  record["off_by_one_at_chunk_end"] = group.off_by_one_at_chunk_end;
  record["digits"] = Json::array();
  for (const DigitErrors& digit : group.digits)
    record["digits"].push_back({{"rows", digit.rows}, {"wrong", digit.wrong}, {"sizes", digit.sizes}});
  record["tokens"] = Json::array();
  for (const TokenSummary& token : group.tokens) record["tokens"].push_back(to_json(token));
  return record;
}

Json kinds_json(const std::array<int64_t, kAnswerKinds>& kinds) {
  Json record = Json::object();
  for (int i = 0; i < kAnswerKinds; ++i) record[to_string(static_cast<AnswerKind>(i))] = kinds[static_cast<size_t>(i)];
  return record;
}

/// The fields of one line, each checked.
class ItemReader {
 public:
  ItemReader(const Json& record, const std::string& path, int64_t line) : record_(record), path_(path), line_(line) {
    if (!record.is_object()) refuse("{}:{}: no JSON object", path, line);
  }

  int64_t integer(const char* key) const {
    const Json& value = field(key);
    if (!value.is_number_integer()) refuse("{}:{}: {}: {} is no integer", path_, line_, key, value.dump());
    return value.get<int64_t>();
  }
  std::string text(const char* key) const {
    const Json& value = field(key);
    if (!value.is_string()) refuse("{}:{}: {}: {} is no string", path_, line_, key, value.dump());
    return value.get<std::string>();
  }

  Outcome outcome() const {
    const std::string operation = text("op"), kind = text("kind"), prompt = text("prompt");
    if (operation != "+" && operation != "-" && operation != "*")
      refuse("{}:{}: op: \"{}\"; there are +, - and *", path_, line_, operation);
    const auto known = parse_answer_kind(kind);
    if (!known) refuse("{}:{}: kind: no kind of answer \"{}\"", path_, line_, kind);
    if (prompt != "chat" && prompt != "lines")
      refuse("{}:{}: prompt: \"{}\"; there are chat and lines", path_, line_, prompt);
    const Exercise exercise{static_cast<Operation>(operation[0]), integer("first"), integer("second"),
                            integer("answer")};
    return {exercise, text("format"), static_cast<int>(integer("shots")), prompt == "chat", integer("problem"), *known};
  }

 private:
  const Json& field(const char* key) const {
    const auto at = record_.find(key);
    if (at == record_.end()) refuse("{}:{}: no field {}", path_, line_, key);
    return *at;
  }
  const Json& record_;
  const std::string& path_;
  int64_t line_;
};

}  // namespace

Json to_json(const Row& row) {
  Json record = {{"op", op_text(row.exercise.operation)},
                 {"format", row.condition},
                 {"shots", row.shots},
                 {"prompt", row.chat ? "chat" : "lines"},
                 {"problem", row.problem},
                 {"first", row.exercise.first},
                 {"second", row.exercise.second},
                 {"answer", row.exercise.answer},
                 {"prompt_tokens", row.prompt_tokens},
                 {"reply", row.reply},
                 {"stop", row.stop}};
  put_metrics(row, record);
  record["tokens"] = Json::array();
  for (const AnswerToken& token : row.tokens) record["tokens"].push_back(to_json(token));
  return record;
}

Json to_json(const TokenizerProbe& probe) {
  Json record = {{"cut", to_string(probe.cut)}, {"places", Json::array()}};
  for (const CutCount& count : probe.places)
    record["places"].push_back({{"place", count.place},
                                {"cut", to_string(count.cut)},
                                {"numbers", count.numbers},
                                {"single", count.single},
                                {"left", count.left},
                                {"right", count.right},
                                {"irregular", count.irregular},
                                {"merged", count.merged},
                                {"example", count.example}});
  return record;
}

Json to_json(const CellSummary& cell) {
  Json record = {{"op", op_text(cell.operation)}, {"format", cell.condition},        {"shots", cell.shots},
                 {"all", to_json(cell.all)},      {"kinds", kinds_json(cell.kinds)}, {"by_signature", Json::array()}};
  if (cell.match.tally.rows > 0) record["length_match"] = to_json(cell.match);
  if (cell.mismatch.tally.rows > 0) record["length_mismatch"] = to_json(cell.mismatch);
  for (const auto& [signature, tally] : cell.by_signature) {
    Json entry = to_json(tally);
    entry["signature"] = signature;
    record["by_signature"].push_back(std::move(entry));
  }
  return record;
}

Json to_json(const PairedCell& cell) {
  return {{"op", op_text(cell.operation)},
          {"format", cell.condition},
          {"shots", cell.shots},
          {"rows", cell.difference.items},
          {"both_right", cell.answers.both},
          {"only_reference", cell.answers.only_reference},
          {"only_model", cell.answers.only_model},
          {"both_wrong", cell.answers.neither},
          {"difference", cell.difference.mean},
          {"difference_ci95", {cell.difference.low, cell.difference.high}},
          {"mcnemar_p", cell.answers.p_value},
          {"reference_kinds", kinds_json(cell.reference_kinds)},
          {"kinds", kinds_json(cell.model_kinds)}};
}

Json to_json(const RefusedCondition& refused) {
  return {{"op", op_text(refused.operation)},
          {"format", refused.refusal.condition},
          {"reason", refused.refusal.reason},
          {"example", refused.refusal.example}};
}

void write_items(OutputFile& file, std::span<const Row> rows) {
  int64_t offset = 0;
  for (const Row& row : rows) {
    const std::string line = to_json(row).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    file.write_at(offset, line);
    offset += std::ssize(line);
  }
  file.finish();
}

std::vector<Outcome> read_outcomes(const std::string& path) {
  const std::string text = read_text(path);
  std::vector<Outcome> outcomes;
  int64_t number = 0;
  for (const std::string_view line : split_lines(text)) {
    ++number;
    if (is_blank(line)) continue;
    const Json record = parse_json(line, fmt::format("{}:{}", path, number));
    outcomes.push_back(ItemReader(record, path, number).outcome());
  }
  return outcomes;
}

}  // namespace bitloom::arithmetic
