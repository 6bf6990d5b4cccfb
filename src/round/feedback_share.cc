#include "round/feedback_share.h"

#include <typeinfo>

#include "round/frame/framed.h"
#include "round/gptq/gptq.h"
#include "round/trellis/trellis_rounding.h"

namespace bitloom {
namespace {

struct ShareRow {
  const std::type_info* method;  // its options
  double (*share)(const AnyValue& options, const RoundingProblem& problem, const GuidedMoments& errors);
};

template <typename T>
constexpr ShareRow share_row() {
  return {&typeid(T), [](const AnyValue& o, const RoundingProblem& problem, const GuidedMoments& errors) {
            return feedback_share_by(o.get<T>(), problem, errors);
          }};
}

constexpr ShareRow kRows[] = {share_row<GptqRounding>(), share_row<LdlqRounding>()};

const ShareRow* row_of(const Rounding& rounding) {
  for (const ShareRow& row : kRows) {
    if (*row.method == rounding.options().type()) return &row;
  }
  return nullptr;
}

}  // namespace

bool knows_feedback_share(const Rounding& rounding) { return row_of(rounding) != nullptr; }

double feedback_share(const Rounding& rounding, const RoundingProblem& problem, const GuidedMoments& errors) {
  const ShareRow* row = row_of(rounding);
  if (row == nullptr) return 1;
  if (!problem.target.storage.side.frame.present()) return row->share(rounding.options(), problem, errors);
  const FramedProblem framed(problem);
  const FramedProblem framed_errors({problem.place, problem.weights, problem.target, problem.inputs, problem.shared,
                                     problem.ranks, problem.threads, &errors});
  return row->share(rounding.options(), framed.inner(), *framed_errors.inner().guided);
}

}  // namespace bitloom
