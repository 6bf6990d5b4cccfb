#pragma once
// What quantizing did to the matrices, as tables and plots for people.

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/allocation/allocate_bits.h"
#include "pipeline/quantize_model.h"
#include "report/plot/plot.h"
#include "report/table.h"

namespace bitloom {

/// Bits and MiB of the blocks' matrices and of the whole model's files.
Table size_table(const QuantizeResult& result);

/// A row for each storage that was chosen, with the roles that got it and what it is expected to lose.
Table allocation_table(const Allocation& allocation);

/// A row for each scheme and way of rounding. Of matrices taken over from a quantized source no errors are known: "-".
Table scheme_table(const std::vector<SiteRecord>& sites);

/// A row for each kind of layer ("*.self_attn.q_proj.weight"), with its mean and worst errors, for recipes that looked
/// at data. Here and in site_table() what only some roundings tell (compensation, flipped codes, rows kept) has a
/// column where some site has it.
Table layer_table(const std::vector<SiteRecord>& sites);

/// A row for each block with experts: how many calibration tokens they saw. Empty where no expert's were counted.
Table expert_table(const std::vector<SiteRecord>& sites);

/// A row for each matrix.
Table site_table(const std::vector<SiteRecord>& sites);

/// What those columns mean: "flipped: ...; rows kept: ..."; "" without any.
std::string rounding_note(const std::vector<SiteRecord>& sites);

/// Compensated weights this many times larger than any weight was say that the damping is too small.
inline constexpr double kMostCompensation = 10;
/// The sites beyond it, worst first.
std::vector<const SiteRecord*> overcompensated(const std::vector<SiteRecord>& sites);
/// The same as a sentence that names the worst; "" without any.
std::string compensation_warning(const std::vector<SiteRecord>& sites);

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
