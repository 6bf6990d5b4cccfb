#include "pipeline/task/fit_formats.h"

#include <utility>
#include <vector>

#include "round/fitted/fit_format.h"

namespace bitloom {
namespace {

/// By tensor: "q", "down", of an expert's matrix too. What lies outside the blocks is a role of its own.
std::map<std::string, std::string> roles_of(const Graph& graph) {
  std::map<std::string, std::string> roles;
  for (const Site& site : linear_sites(graph)) {
    const std::string& role = site.linear->role;
    roles[site.linear->weight] = role.substr(role.rfind('.') + 1);
  }
  return roles;
}

std::string sharers(FitScope scope, const std::string& tensor, const std::map<std::string, std::string>& roles) {
  if (scope == FitScope::kModel) return "";
  const auto role = roles.find(tensor);
  return scope == FitScope::kMatrix || role == roles.end() ? tensor : role->second;
}

}  // namespace

void fit_formats(const Checkpoint& model, std::map<std::string, RecipeStep>& steps, ThreadPool& threads) {
  const std::map<std::string, std::string> roles = roles_of(model.graph());
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> fits;  // by target and who shares it
  for (const auto& [tensor, step] : steps) {
    const auto request = fit_request(step.quantize->storage);
    if (request) fits[{to_string(*step.quantize), sharers(request->scope, tensor, roles)}].push_back(tensor);
  }
  for (const auto& [key, tensors] : fits) {
    std::vector<RowSourcePtr> owners;
    std::vector<const RowSource*> matrices;
    for (const std::string& tensor : tensors) {
      owners.push_back(model.tensor(tensor).rows);
      matrices.push_back(owners.back().get());
    }
    const RoundingTarget fitted = fitted_target(*steps.at(tensors.front()).quantize, matrices, threads);
    for (const std::string& tensor : tensors) steps.at(tensor).quantize = fitted;
  }
}

}  // namespace bitloom
