#pragma once
// Words of a cell's command that stand for what cells make: "{out}" its own, "{cell:N}" that of cell N.

#include <functional>
#include <string>
#include <vector>

namespace bitloom {

std::string cell_word(size_t cell);

/// The words with every {cell:N} replaced by `text(N)`.
std::vector<std::string> with_cells(const std::vector<std::string>& words,
                                    const std::function<std::string(size_t)>& text);
/// The same, and {out} replaced by `out`.
std::vector<std::string> with_outputs(const std::vector<std::string>& words, const std::string& out,
                                      const std::function<std::string(size_t)>& text);
/// With one text for all cells.
std::vector<std::string> with_outputs(const std::vector<std::string>& words, const std::string& out,
                                      const std::string& others);

}  // namespace bitloom
