#pragma once
// Rows and summaries as JSON: what --items keeps and --json prints.

#include <string>
#include <vector>

#include "eval/arithmetic/pairing.h"
#include "eval/arithmetic/summary.h"
#include "io/directory/output_file.h"
#include "io/json.h"

namespace bitloom::arithmetic {

/// Every metric of the row; what is unknown is absent.
Json to_json(const Row& row);
Json to_json(const TokenizerProbe& probe);
Json to_json(const CellSummary& cell);
Json to_json(const PairedCell& cell);
Json to_json(const RefusedCondition& refused);

/// One line of JSON a row, as read_outcomes() takes it back. Finishes the file.
void write_items(OutputFile& file, std::span<const Row> rows);

/// Error(kRefused) naming file, line and field.
std::vector<Outcome> read_outcomes(const std::string& path);

}  // namespace bitloom::arithmetic
