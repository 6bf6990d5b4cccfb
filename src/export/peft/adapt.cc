#include "export/peft/adapt.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/simd/vector_clones.h"
#include "export/module_names.h"
#include "format/stored_matrix.h"
#include "io/tensor_view.h"

namespace bitloom {
namespace {

/// out [n] += factor * a [n].
BITLOOM_VECTOR_CLONES void add_scaled(const float* __restrict a, float factor, int64_t n, float* __restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] += factor * a[i];
}

class AdaptedRows final : public RowSource {
 public:
  AdaptedRows(RowSourcePtr base, AdapterModule module) : base_(std::move(base)), module_(std::move(module)) {
    for (float& value : module_.b) value = static_cast<float>(static_cast<double>(value) * module_.scale);
  }
  int64_t rows() const override { return base_->rows(); }
  int64_t cols() const override { return base_->cols(); }
  int64_t stored_bytes() const override {
    return base_->stored_bytes() +
           4 * (module_.rank * (rows() + cols()) + static_cast<int64_t>(module_.magnitude.size()));
  }
  std::string storage() const override { return fmt::format("{} with an adapter", base_->storage()); }
  void release() const override { base_->release(); }

  void decode_rows(int64_t begin, int64_t end, float* out) const override {
    base_->decode_rows(begin, end, out);
    for (int64_t r = begin; r < end; ++r, out += cols()) {
      const float* b = module_.b.data() + r * module_.rank;
      for (int64_t k = 0; k < module_.rank; ++k) add_scaled(module_.a.data() + k * cols(), b[k], cols(), out);
      if (!module_.magnitude.empty()) resize(module_.magnitude[static_cast<size_t>(r)], out);
    }
  }

 private:
  /// The row becomes `length` long.
  void resize(float length, float* row) const {
    double square = 0;
    for (int64_t c = 0; c < cols(); ++c) square += static_cast<double>(row[c]) * static_cast<double>(row[c]);
    const double factor = square > 0 ? static_cast<double>(length) / std::sqrt(square) : 0;
    for (int64_t c = 0; c < cols(); ++c) row[c] = static_cast<float>(static_cast<double>(row[c]) * factor);
  }

  RowSourcePtr base_;
  AdapterModule module_;  // B with the scale
};

/// The tensor that the module means; null: none.
const std::string* find_tensor(const std::map<std::string, const Linear*>& linears, const std::string& module) {
  for (const auto& [tensor, linear] : linears) {
    const std::string own = module_of(tensor);
    if (module == own || module.ends_with("." + own)) return &tensor;
  }
  return nullptr;
}

void check_targets(const PeftAdapter& adapter, const std::map<std::string, std::string>& found,
                   const std::map<std::string, const Linear*>& linears) {
  const std::string place = adapter.path + "/" + kAdapterConfig;
  if (adapter.targets.empty() || !adapter.of_all_layers) return;
  for (const auto& [module, of] : adapter.modules) {
    if (!is_target(adapter.targets, module)) {
      refuse("{}: target_modules leave out '{}', which {} has factors of", place, module, kAdapterWeights);
    }
  }
  for (const auto& [tensor, linear] : linears) {
    if (is_target(adapter.targets, module_of(tensor)) && !found.contains(tensor)) {
      refuse("{}: target_modules name '{}', which {} has no factors of", place, module_of(tensor), kAdapterWeights);
    }
  }
}

bool has_product(const RowSource& rows) {
  const auto* stored = dynamic_cast<const StoredMatrix*>(&rows);
  return stored != nullptr && stored->spec().side.low_rank.present();
}

}  // namespace

RowSourcePtr adapted_rows(RowSourcePtr base, AdapterModule module) {
  return std::make_shared<const AdaptedRows>(std::move(base), std::move(module));
}

std::map<std::string, std::string> modules_by_tensor(const Model& model, const PeftAdapter& adapter,
                                                     const std::function<void(const std::string&)>& warn) {
  const std::map<std::string, const Linear*> linears = block_linears(model.graph());
  std::map<std::string, std::string> found;  // module by tensor
  for (const auto& [name, module] : adapter.modules) {
    const std::string* tensor = find_tensor(linears, name);
    if (tensor == nullptr) refuse("{}: '{}' is no linear layer of the blocks of {}", adapter.path, name, model.path());
    const Linear& linear = *linears.at(*tensor);
    if (module.out != linear.out || module.in != linear.in) {
      refuse("{}: '{}' is for a layer of {} outputs and {} inputs, that of {} has {} and {}", adapter.path, name,
             module.out, module.in, model.path(), linear.out, linear.in);
    }
    if (!found.emplace(*tensor, name).second) {
      refuse("{}: '{}' and '{}' are both for '{}'", adapter.path, found.at(*tensor), name, *tensor);
    }
  }
  check_targets(adapter, found, linears);
  const auto products = std::count_if(
      found.begin(), found.end(), [&](const auto& of) { return has_product(*model.matrix(*linears.at(of.first))); });
  if (products > 0 && warn) {
    warn(
        fmt::format("{} matrices of {} have a low-rank product of their own, which stays: an adapter that was exported "
                    "from it belongs on the exported base",
                    products, model.path()));
  }
  return found;
}

std::shared_ptr<const Checkpoint> adapted(std::shared_ptr<const Checkpoint> model, PeftAdapter adapter,
                                          const std::function<void(const std::string&)>& warn) {
  const std::map<std::string, const Linear*> linears = block_linears(model->graph());
  TensorEdits edits;
  for (const auto& [tensor, module] : modules_by_tensor(*model, adapter, warn)) {
    edits.tensors[tensor] = adapted_rows(model->matrix(*linears.at(tensor)), std::move(adapter.modules.at(module)));
  }
  return Checkpoint::edited(std::move(model), edits);
}

}  // namespace bitloom
