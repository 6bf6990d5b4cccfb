#pragma once
// What quantizing did to the matrices, as tables and plots for people.

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/quantize_model.h"
#include "report/plot.h"
#include "report/table.h"

namespace bitloom {

/// A row for each scheme and way of rounding. Of matrices taken over from a quantized source no errors are known: "-".
Table scheme_table(const std::vector<SiteRecord>& sites);

/// A row for each kind of layer ("*.self_attn.q_proj.weight"), with its mean and worst errors, for recipes that looked
/// at data.
Table layer_table(const std::vector<SiteRecord>& sites);

/// A row for each block with experts: how many calibration tokens they saw. Empty where no expert's were counted.
Table expert_table(const std::vector<SiteRecord>& sites);

/// A row for each matrix.
Table site_table(const std::vector<SiteRecord>& sites);

/// "model.layers.3.mlp.up_proj.weight" -> {"*.mlp.up_proj.weight", "3"}; outside the blocks {name, ""}. Experts are of
/// one kind: "*.mlp.experts.*.up_proj.weight".
std::pair<std::string, std::string> kind_and_block(const std::string& name);

/// A figure of the sites that a plot shows; kUnknown where a site has none.
struct SiteFigures {
  std::string name;
  const std::vector<SiteRecord>& sites;
  std::function<double(const SiteRecord&)> figure;
};
double weight_error_of(const SiteRecord& site);
double output_error_of(const SiteRecord& site);

/// Figures over the depth of the model, a row for each kind of layer. Matrices outside the blocks have no place in it.
StripPlot site_strips(const Caption& caption, const std::string& y_title, bool logarithmic,
                      const std::vector<SiteFigures>& figures);

}  // namespace bitloom
