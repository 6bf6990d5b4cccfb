#pragma once
// What error feedback is expected to leave of the loss, before anything is rounded (papers' beyond page, 2.3).
//
// A method that feeds errors through the factors H_I = L_I D_I L_I^T and H_O = L_O D_O L_O^T leaves E = W - Q with
//
//   L_O^T E L_I = F,   F white noise as large as the storage's
//
// and with G the loss's gradient of a sequence, A_I and A_O the means of G^T G and G G^T over sequences, of the loss of
// white noise in the place of E the share
//
//   f = tr(L_I^-1 A_I L_I^-T) / tr(A_I)  *  tr(L_O^-1 A_O L_O^-T) / tr(A_O)
//
// which is tr D_I tr D_O / (tr H_I tr H_O) where gradients of different tokens have nothing to do with each other.

#include "observe/moment/guided_moments.h"
#include "round/problem.h"
#include "round/rounding.h"

namespace bitloom {

/// Whether the method tells its share; it counts as 1 otherwise.
bool knows_feedback_share(const Rounding& rounding);

/// f. Of statistics the problem has the moments guided by gradients where the method asks for such, else the inputs'
/// second moment (asserted); of the target any width will do. `errors`: A_I and A_O as moments of inputs and of
/// gradients, of the same matrix. A storage in a frame counts in its coordinates. Error(kFailed) as the method's
/// factorization. Memory: the frame's, the factor's and twice more 4 side^2 bytes.
double feedback_share(const Rounding& rounding, const RoundingProblem& problem, const GuidedMoments& errors);

}  // namespace bitloom
