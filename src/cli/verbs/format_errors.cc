#include "cli/verbs/format_errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <system_error>
#include <variant>

#include "base/error.h"
#include "base/text/text.h"
#include "cli/pages/page_file.h"
#include "format/expected_error/expected_error.h"
#include "format/named_format.h"
#include "io/directory/output_file.h"
#include "io/safetensors/safetensors.h"
#include "model/checkpoint/checkpoint.h"
#include "report/numbers.h"
#include "report/plot/plot.h"
#include "report/table.h"

namespace bitloom {
namespace {

constexpr int kPerOctave = 8;  // points of a curve

RowSourcePtr tensor_of_file(const std::string& path, const std::string& name) {
  std::vector<std::string> names;
  for (const TensorView& tensor : open_safetensors(path).tensors) {
    if (tensor.name == name) return dense_rows(tensor);
    names.push_back(tensor.name);
  }
  refuse("{}: no tensor '{}'{}", path, name, did_you_mean(name, names));
}

RowSourcePtr tensor_of_model(const std::string& path, const std::string& name, Session& session) {
  const auto model = Checkpoint::open(path, session.warner());
  std::vector<std::string> names;
  for (const CheckpointTensor& tensor : model->tensors()) names.push_back(tensor.name);
  if (!model->has(name)) refuse("{}: no tensor '{}'{}", path, name, did_you_mean(name, names));
  return model->tensor(name).rows;
}

Density density_of_tensor(const std::string& text, Session& session) {
  const size_t colon = text.rfind(':');
  const std::string path = text.substr(0, colon), name = text.substr(colon + 1);
  const ProgressTask task(session.progress(), "reading and sorting " + name, 0);
  const RowSourcePtr rows =
      path.ends_with(".safetensors") ? tensor_of_file(path, name) : tensor_of_model(path, name, session);
  std::vector<float> values = rows->decode_all();
  const auto odd = std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  if (odd != values.end()) refuse("{}: tensor {}: {} among its values", path, name, *odd);
  if (std::all_of(values.begin(), values.end(), [](float v) { return v == 0; }))
    refuse("{}: tensor {}: no value other than 0", path, name);
  return values_density(text, std::move(values));
}

Density require_density(const std::string& text, Session& session) {
  if (auto density = find_density(text)) return *std::move(density);
  const size_t colon = text.rfind(':');
  const bool of_tensor = colon != text.npos;
  std::error_code unreadable;
  if (of_tensor && std::filesystem::exists(text.substr(0, colon), unreadable)) return density_of_tensor(text, session);
  const std::vector<std::string> names = {"gaussian", "uniform", "student-t:8", "outliers"};
  const std::string no_file = of_tensor ? fmt::format(", and no file '{}'", text.substr(0, colon)) : "";
  misuse("formats: --sqnr '{}': no distribution{}{}; there are: {}, FILE:TENSOR", text, no_file,
         did_you_mean(text, names), density_spellings());
}

/// A format's errors over clip values, and the least.
struct ErrorCurve {
  Format format;
  ExpectedError best;
  std::vector<double> sqnr;  // over the clips of all
};

/// Three octaves to both sides of the best clips, so that clipping and coarse steps are both seen.
std::vector<double> clips_around(const std::vector<ErrorCurve>& curves) {
  const auto by_clip = [](const ErrorCurve& a, const ErrorCurve& b) { return a.best.clip < b.best.clip; };
  const auto [low, high] = std::minmax_element(curves.begin(), curves.end(), by_clip);
  const int from = static_cast<int>(std::floor(std::log2(low->best.clip))) - 3;
  const int to = static_cast<int>(std::ceil(std::log2(high->best.clip))) + 3;
  std::vector<double> clips;
  for (int i = from * kPerOctave; i <= to * kPerOctave; ++i)
    clips.push_back(std::exp2(static_cast<double>(i) / kPerOctave));
  return clips;
}

Table best_table(const std::vector<ErrorCurve>& curves) {
  Table table({{"format", Align::kLeft}, {"bits"}, {"best clip"}, {"MSE"}, {"SQNR dB"}, {"SQNR dB of products"}});
  for (const ErrorCurve& curve : curves)
    table.add({name_of(curve.format), fmt::format("{}", bits_of(curve.format)), format_significant(curve.best.clip, 4),
               format_significant(curve.best.mse, 4), fmt::format("{:.2f}", curve.best.sqnr()),
               fmt::format("{:.2f}", curve.best.dot_sqnr())});
  return table;
}

/// SQNR at every whole power of two.
Table curve_table(const std::vector<ErrorCurve>& curves, const std::vector<double>& clips) {
  std::vector<Column> columns = {{"SQNR dB at clip"}};
  for (const ErrorCurve& curve : curves) columns.push_back({name_of(curve.format)});
  Table table(columns);
  for (size_t i = 0; i < clips.size(); i += kPerOctave) {
    std::vector<std::string> cells = {fmt::format("{:.6g}", clips[i])};
    for (const ErrorCurve& curve : curves) cells.push_back(fmt::format("{:.2f}", curve.sqnr[i]));
    table.add(std::move(cells));
  }
  return table;
}

LinePlot plot_of(const std::string& distribution, const std::vector<ErrorCurve>& curves,
                 const std::vector<double>& clips) {
  LinePlot plot{
      {"Signal to quantization noise over the clip value, " + distribution,
       "Left of a curve's top large numbers are clipped, right of it the steps between levels are coarse. More "
       "exponent bits make the top flat, more mantissa bits make it high."},
      {"clip value: what the largest level stands for", true},
      {"SQNR, dB"},
      {}};
  for (const ErrorCurve& curve : curves) {
    Curve line{name_of(curve.format), clips, {}};
    for (const double sqnr : curve.sqnr) line.y.push_back({sqnr});
    plot.curves.push_back(std::move(line));
  }
  return plot;
}

bool has_wide_exponent(const ErrorCurve& curve) {
  const auto* minifloat = std::get_if<MinifloatFormat>(&curve.format);
  return minifloat != nullptr && minifloat->exponent >= 4;
}

/// JSON has no infinity: "inf", the SQNR of numbers that are all levels.
Json sqnr_json(double value) { return std::isfinite(value) ? Json(value) : Json(fmt::format("{}", value)); }

Json sqnr_json(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(sqnr_json(value));
  return list;
}

Json record_of(const Density& density, const std::vector<ErrorCurve>& curves, const std::vector<double>& clips) {
  Json formats = Json::array();
  for (const ErrorCurve& curve : curves)
    formats.push_back({{"name", name_of(curve.format)},
                       {"bits", bits_of(curve.format)},
                       {"best_clip", curve.best.clip},
                       {"mse", curve.best.mse},
                       {"x_error", curve.best.x_error},
                       {"sqnr_db", sqnr_json(curve.best.sqnr())},
                       {"products_sqnr_db", sqnr_json(curve.best.dot_sqnr())},
                       {"sqnr_db_at_clips", sqnr_json(curve.sqnr)}});
  return {{"distribution", density.name},
          {"limit", density.limit},
          {"power", curves.front().best.power},
          {"clips", clips},
          {"formats", std::move(formats)}};
}

Grid signed_grid(const std::string& name) {
  Grid grid = grid_of(named_format("formats", name));
  if (grid.levels.back() <= 0) misuse("formats: {} has no level above 0 that a clip value could be", name);
  return grid;
}

}  // namespace

void show_expected_errors(const std::string& distribution, const std::vector<std::string>& formats,
                          const std::string& plot_file, Session& session) {
  const std::vector<std::string> names =
      formats.empty() ? std::vector<std::string>{"int8", "e2m5", "e3m4", "e4m3", "e5m2"} : formats;
  for (const std::string& name : names) signed_grid(name);
  if (!plot_file.empty()) check_page_file(plot_file, "the plot");
  const Density density = require_density(distribution, session);
  std::vector<ErrorCurve> curves;
  for (const std::string& name : names)
    curves.push_back({named_format("formats", name), best_clip(signed_grid(name), density), {}});
  const std::vector<double> clips = clips_around(curves);
  for (ErrorCurve& curve : curves)
    for (const double clip : clips) curve.sqnr.push_back(expected_error(grid_of(curve.format), density, clip).sqnr());

  std::string text =
      best_table(curves).to_text(session.bold()) + "\n" + curve_table(curves, clips).to_text(session.bold());
  if (std::any_of(curves.begin(), curves.end(), has_wide_exponent))
    text +=
        "\nWith four exponent bits or more the error repeats from octave to octave: their best clip tells little.\n";
  if (!plot_file.empty()) {
    constexpr int kWidth = 860;
    replace_file(plot_file, svg_file(plot_of(density.name, curves, clips), kWidth));
    text += fmt::format("plot: {}\n", plot_file);
  }
  session.show(record_of(density, curves, clips), text);
}

}  // namespace bitloom
