#include "round/adaround/adaround.h"
#include "round/apiq/apiq.h"
#include "round/billm/billm.h"
#include "round/claq/claq.h"
#include "round/fpq/fpq.h"
#include "round/gptq/gptq.h"
#include "round/hqq/hqq.h"
#include "round/kmeans/kmeans.h"
#include "round/lorc/lorc.h"
#include "round/nearest/nearest.h"
#include "round/nupes/nupes.h"
#include "round/pb/pb.h"
#include "round/slim/slim.h"
#include "round/spqr/spqr.h"
#include "round/svid/svid.h"
#include "round/trellis/trellis_rounding.h"
#include "round/vector/aqlm.h"
#include "round/vector/gptvq.h"

namespace bitloom {

std::span<const RoundingRow* const> rounding_methods() {
  static constexpr const RoundingRow* kMethods[] = {
      &kNearestMethod, &kGptqMethod,         &kAdaRoundMethod, &kNupesMethod,   &kLorcMethod,  &kApiqMethod,
      &kFpqMethod,     &kKMeansMethod,       &kHqqMethod,      &kClaqMethod,    &kBillmMethod, &kPbMethod,
      &kSpqrMethod,    &kSlimMethod,         &kSvidMethod,     &kViterbiMethod, &kLdlqMethod,  &kAdditiveMethod,
      &kAqlmMethod,    &kVectorKMeansMethod, &kGptvqMethod,
  };
  return kMethods;
}

}  // namespace bitloom
