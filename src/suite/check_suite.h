#pragma once
// What can be said against a suite without opening a model.

#include <string>
#include <vector>

#include "suite/suite.h"

namespace bitloom {

/// Error(kUsage) with file and place: a file that does not exist; evaluations that need each other in a circle; one
/// that needs what another does not make; a column, caption or axis of an evaluation that there is not; a pattern of
/// `skip`, `rows` or `groups` that matches no recipe; a pair of one that there is not.
void check_suite(const Suite& suite);

/// nullptr when there is none.
const SuiteEvaluation* find_evaluation(const Suite& suite, const std::string& name);
/// Everything that may stand between braces in a command.
std::vector<std::string> names_in_commands(const Suite& suite);
/// Whether one of the globs means the recipe, by its name or its label.
bool matches_any(const std::vector<std::string>& patterns, const SuiteRecipe& recipe);

}  // namespace bitloom
