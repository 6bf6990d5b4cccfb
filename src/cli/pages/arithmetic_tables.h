#pragma once
// The arithmetic study as tables: for the terminal, and for the page.

#include <span>
#include <string>
#include <vector>

#include "eval/arithmetic/pairing.h"
#include "eval/arithmetic/summary.h"
#include "report/table.h"

namespace bitloom {

struct TitledTable {
  std::string title, note;  // note: what must be known to read it, a sentence or two; may be empty
  Table table;
};

/// "nosep, 8 shots"; "nosep (-), 8 shots" for what is no addition.
std::string cell_name(arithmetic::Operation operation, const std::string& condition, int shots);

/// What takes a row for each signature, digit or token is of the most shots alone; JSON has the rest.
struct ArithmeticTables {
  TitledTable probe, refused, accuracy, kinds, lengths, digits, sizes, tokens;
  TitledTable paired, changes;  // without rows when nothing is compared
  /// Those with rows, as listed here.
  std::vector<const TitledTable*> in_order() const;
};
ArithmeticTables arithmetic_tables(const arithmetic::Study& study, std::span<const arithmetic::CellSummary> cells,
                                   std::span<const arithmetic::PairedCell> paired);

/// The cells with the most shots.
std::vector<arithmetic::CellSummary> detailed_cells(std::span<const arithmetic::CellSummary> cells);

}  // namespace bitloom
