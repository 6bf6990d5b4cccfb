#include "observe/statistics_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "io/safetensors/safetensors.h"

namespace bitloom {
namespace {

constexpr const char* kFormatKey = "format";
constexpr const char* kFormat = "bitloom statistics 4";
constexpr int64_t kTile = SecondMoment::kTile;
constexpr int64_t kMostChannels = int64_t{1} << 24;  // far below where d^2 overflows
constexpr int64_t kMostBins = int64_t{1} << 24;      // of a Histogram

int64_t tile_count(int64_t channels) {
  const int64_t edge = (channels + kTile - 1) / kTile;
  return edge * (edge + 1) / 2;
}

enum Count {
  kTokens,
  kDropped,
  kHasMoment,
  kHasCross,
  kCrossTokens,
  kBins,
  kExponent,
  kHasHalf,
  kHalfTokens,
  kHalfDropped,
  kHalfCrossTokens,
  kCounts
};
using Counts = std::array<int64_t, kCounts>;

template <typename Values>
TensorBytes tensor_of(std::string name, DType dtype, std::vector<int64_t> shape, const Values& values) {
  return {{std::move(name), dtype, std::move(shape)}, std::as_bytes(std::span(values))};
}

/// Vectors that TensorBytes view must outlive them.
struct Range {
  std::vector<float> low, high, extremes;
  Counts counts;
};

Range range_of(const InputStatistics& input) {
  Range range{input.range.low(), input.range.high(), {}, {}};
  range.counts = {input.tokens(), input.dropped_tokens(), input.moment ? 1 : 0, input.cross ? 1 : 0,
                  input.cross ? input.cross->tokens() : 0};
  if (const auto& histogram = input.histogram) {
    range.counts[kBins] = static_cast<int64_t>(histogram->counts().size());
    range.counts[kExponent] = histogram->exponent();
    range.extremes = {histogram->low(), histogram->high()};
  }
  if (const auto& half = input.half) {
    range.counts[kHasHalf] = 1;
    range.counts[kHalfTokens] = half->moment.tokens();
    range.counts[kHalfDropped] = half->moment.dropped_tokens();
    range.counts[kHalfCrossTokens] = half->cross.tokens();
  }
  return range;
}

void add_tensors(const std::string& name, const InputStatistics& input, const Range& range,
                 std::vector<TensorBytes>& tensors) {
  const int64_t d = input.channels();
  tensors.push_back(tensor_of(name + ".counts", DType::kI64, {kCounts}, range.counts));
  tensors.push_back(tensor_of(name + ".low", DType::kF32, {d}, range.low));
  tensors.push_back(tensor_of(name + ".high", DType::kF32, {d}, range.high));
  tensors.push_back(tensor_of(name + ".sums", DType::kF64, {d}, input.range.sums()));
  if (input.moment) {
    tensors.push_back(
        tensor_of(name + ".second_moment", DType::kF64, {tile_count(d), kTile, kTile}, input.moment->tiles()));
  }
  if (input.cross) {
    tensors.push_back(tensor_of(name + ".cross_moment", DType::kF32, {d, d}, input.cross->sums()));
  }
  if (input.half) {
    tensors.push_back(tensor_of(name + ".half_second_moment", DType::kF64, {tile_count(d), kTile, kTile},
                                input.half->moment.tiles()));
    tensors.push_back(tensor_of(name + ".half_cross_moment", DType::kF32, {d, d}, input.half->cross.sums()));
  }
  if (input.histogram) {
    const std::vector<int64_t>& counts = input.histogram->counts();
    tensors.push_back(tensor_of(name + ".histogram", DType::kI64, {range.counts[kBins]}, counts));
    tensors.push_back(tensor_of(name + ".extremes", DType::kF32, {2}, range.extremes));
  }
}

/// The tensors of one file by name, each to be taken once.
class Reader {
 public:
  explicit Reader(const SafetensorsFile& file) : path_(file.path) {
    for (const TensorView& tensor : file.tensors) tensors_[tensor.name] = &tensor;
  }

  /// Names N for which there is an N.counts.
  std::vector<std::string> inputs() const {
    constexpr std::string_view kSuffix = ".counts";
    std::vector<std::string> names;
    for (const auto& [name, tensor] : tensors_) {
      if (name.size() > kSuffix.size() && name.ends_with(kSuffix)) {
        names.push_back(name.substr(0, name.size() - kSuffix.size()));
      }
    }
    return names;
  }

  /// The one dimension of a vector.
  int64_t length(const std::string& name) const {
    const TensorView& tensor = find(name);
    if (tensor.shape.size() != 1 || tensor.shape[0] < 1 || tensor.shape[0] > kMostChannels) {
      refuse("{}: tensor '{}' has shape {}, expected [channels] with 1 to {} channels", path_, name,
             shape_text(tensor.shape), kMostChannels);
    }
    return tensor.shape[0];
  }

  template <typename T>
  std::vector<T> take(const std::string& name, DType dtype, const std::vector<int64_t>& shape) {
    const TensorView& tensor = find(name);
    if (tensor.dtype != dtype || tensor.shape != shape) {
      refuse("{}: tensor '{}' is {} {}, expected {} {}", path_, name, info(tensor.dtype).name, shape_text(tensor.shape),
             info(dtype).name, shape_text(shape));
    }
    std::vector<T> values(tensor.bytes.size() / sizeof(T));
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    if constexpr (std::is_floating_point_v<T>) check_finite(name, values);
    tensors_.erase(name);
    return values;
  }

  void expect_empty() const {
    if (!tensors_.empty()) refuse("{}: tensor '{}' belongs to no input", path_, tensors_.begin()->first);
  }

  const std::string& path() const { return path_; }

 private:
  const TensorView& find(const std::string& name) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) refuse("{}: there is no tensor '{}'", path_, name);
    return *found->second;
  }
  template <typename T>
  void check_finite(const std::string& name, const std::vector<T>& values) const {
    const auto bad = std::find_if(values.begin(), values.end(), [](T value) { return !std::isfinite(value); });
    if (bad != values.end()) {
      refuse("{}: tensor '{}' holds {} at {}, expected finite values", path_, name, *bad, bad - values.begin());
    }
  }

  std::string path_;
  std::map<std::string, const TensorView*> tensors_;
};

Counts read_counts(Reader& reader, const std::string& name) {
  const std::vector<int64_t> values = reader.take<int64_t>(name + ".counts", DType::kI64, {kCounts});
  Counts counts;
  std::copy(values.begin(), values.end(), counts.begin());
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] < 0 && i != kExponent)
      refuse("{}: tensor '{}.counts' holds {} at {}, expected >= 0", reader.path(), name, counts[i], i);
  }
  for (const Count flag : {kHasMoment, kHasCross, kHasHalf}) {
    if (counts[flag] <= 1) continue;
    refuse("{}: tensor '{}.counts' holds {} at {}, expected 0 or 1", reader.path(), name, counts[flag],
           static_cast<int>(flag));
  }
  if (counts[kBins] > kMostBins || counts[kBins] % 2 != 0) {
    refuse("{}: tensor '{}.counts' holds {} at {}, expected an even number of bins up to {}", reader.path(), name,
           counts[kBins], static_cast<int>(kBins), kMostBins);
  }
  return counts;
}

Histogram read_histogram(Reader& reader, const std::string& name, const Counts& counts) {
  auto bins = reader.take<int64_t>(name + ".histogram", DType::kI64, {counts[kBins]});
  const auto extremes = reader.take<float>(name + ".extremes", DType::kF32, {2});
  try {
    return Histogram::restore(std::move(bins), counts[kExponent], extremes[0], extremes[1]);
  } catch (const Error& error) {
    refuse("{}: tensor '{}.histogram': {}", reader.path(), name, error.what());
  }
}

SecondMoment read_moment(Reader& reader, const std::string& tensor, int64_t d, int64_t tokens, int64_t dropped) {
  auto moment = SecondMoment::restore(d, tokens, dropped,
                                      reader.take<double>(tensor, DType::kF64, {tile_count(d), kTile, kTile}));
  const std::vector<double> squares = moment.mean_squares();
  const auto bad = std::find_if(squares.begin(), squares.end(), [](double square) { return square < 0; });
  if (bad != squares.end()) {
    refuse("{}: tensor '{}': the mean square of channel {} is {}, expected >= 0", reader.path(), tensor,
           bad - squares.begin(), *bad);
  }
  return moment;
}

ChannelRange read_range(Reader& reader, const std::string& name, int64_t d, const Counts& counts) {
  auto low = reader.take<float>(name + ".low", DType::kF32, {d});
  auto high = reader.take<float>(name + ".high", DType::kF32, {d});
  auto sums = reader.take<double>(name + ".sums", DType::kF64, {d});
  for (size_t c = 0; c < low.size(); ++c) {
    if (low[c] > high[c]) {
      refuse("{}: tensor '{}.low' holds {} for channel {}, above {} in '{}.high'", reader.path(), name, low[c], c,
             high[c], name);
    }
  }
  return ChannelRange::restore(std::move(low), std::move(high), std::move(sums), counts[kTokens], counts[kDropped]);
}

InputStatistics read_input(Reader& reader, const std::string& name) {
  const Counts counts = read_counts(reader, name);
  const int64_t d = reader.length(name + ".low");
  InputStatistics input(0, {});
  if (counts[kHasMoment] == 1) {
    input.moment = read_moment(reader, name + ".second_moment", d, counts[kTokens], counts[kDropped]);
  }
  input.range = read_range(reader, name, d, counts);
  if (counts[kHasCross] == 1) {
    input.cross =
        CrossMoment::restore(d, counts[kCrossTokens], reader.take<float>(name + ".cross_moment", DType::kF32, {d, d}));
  }
  if (counts[kHasHalf] == 1) {
    input.half =
        HalfMoments{read_moment(reader, name + ".half_second_moment", d, counts[kHalfTokens], counts[kHalfDropped]),
                    CrossMoment::restore(d, counts[kHalfCrossTokens],
                                         reader.take<float>(name + ".half_cross_moment", DType::kF32, {d, d}))};
  }
  if (counts[kBins] > 0) input.histogram = read_histogram(reader, name, counts);
  return input;
}

}  // namespace

void write_statistics(const std::string& path, const std::map<std::string, InputStatistics>& inputs,
                      const std::map<std::string, std::string>& metadata) {
  if (metadata.contains(kFormatKey)) {
    fail(ErrorKind::kFailed, "{}: the metadata key \"{}\" is taken", path, kFormatKey);
  }
  std::map<std::string, Range> ranges;
  std::vector<TensorBytes> tensors;
  for (const auto& [name, input] : inputs) {
    add_tensors(name, input, ranges.emplace(name, range_of(input)).first->second, tensors);
  }
  std::map<std::string, std::string> all = metadata;
  all[kFormatKey] = kFormat;
  write_safetensors_file(path, tensors, all);
}

StatisticsFile read_statistics(const std::string& path) {
  const SafetensorsFile file = open_safetensors(path);
  StatisticsFile result;
  result.metadata = file.metadata;
  const auto format = result.metadata.find(kFormatKey);
  if (format == result.metadata.end() || format->second != kFormat) {
    refuse("{}: __metadata__ key \"{}\" is \"{}\", expected \"{}\"", path, kFormatKey,
           format == result.metadata.end() ? "" : format->second, kFormat);
  }
  result.metadata.erase(format);
  Reader reader(file);
  for (const std::string& name : reader.inputs()) result.inputs.emplace(name, read_input(reader, name));
  reader.expect_empty();
  return result;
}

}  // namespace bitloom
