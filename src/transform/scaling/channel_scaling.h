#pragma once
// Moving a scale from an input into the weights that read it, without changing what the model computes. The input does
// change, to x / s: its statistics must be collected again, or its second moment divided by s on both sides.

#include <functional>
#include <span>

#include "transform/pending_edits.h"
#include "transform/scaling/channel_groups.h"

namespace bitloom {

/// Which sites a rewrite is made for. Only these count in its statistics; all readers of a group are scaled.
using SitePredicate = std::function<bool(const Site&)>;

/// Columns of the group's readers times s, its absorber divided by s; s [group.scales], finite and > 0. Products are
/// formed in fp64 and rounded to fp32 once. A norm that multiplies by 1 + w stores w' = (1 + w) / s - 1: for s far
/// above 1 its rounding to fp32 weighs s times as much.
/// Error(kFailed) for a scale that is not finite and positive. The group must have an absorber (asserted).
TensorEdits scale_input(const Model& model, const ChannelGroup& group, std::span<const float> s);
/// The same on top of edits made before.
void scale_input(PendingEdits& edits, const ChannelGroup& group, std::span<const float> s);

/// The group's readers that `targeted` names.
std::vector<Site> targeted_readers(const ChannelGroup& group, const SitePredicate& targeted);

}  // namespace bitloom
