#pragma once
// An adapter on a model: matrices that decode to W' (adapter.h), whatever W is stored as. Nothing is quantized anew:
// the product stays beside W.
//
// Memory: the factors in fp32. Non-goals: kernels (an adapted matrix is decoded tile by tile).

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "export/peft/adapter.h"
#include "model/checkpoint/checkpoint.h"

namespace bitloom {

/// W' of one matrix. A row's values do not depend on the rows that are decoded with it.
RowSourcePtr adapted_rows(RowSourcePtr base, AdapterModule module);

/// The modules of an adapter by the tensors of a model that they are for. Modules go by the names of the model's own
/// matrices, or by those with something before them ("transformer." where the checkpoint has none). Error(kRefused)
/// naming the module: one that the model has no matrix for, another shape, target_modules that leave it out, or that
/// name a matrix without factors. `warn` is told of matrices that have a low-rank product of their own already.
std::map<std::string, std::string> modules_by_tensor(const Model& model, const PeftAdapter& adapter,
                                                     const std::function<void(const std::string&)>& warn = {});

/// The model with the adapter on it. Errors as modules_by_tensor().
std::shared_ptr<const Checkpoint> adapted(std::shared_ptr<const Checkpoint> model, PeftAdapter adapter,
                                          const std::function<void(const std::string&)>& warn = {});

}  // namespace bitloom
