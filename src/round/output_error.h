#pragma once
// What quantizing a matrix does to its outputs on the calibration data: one measure for every way of rounding.
//
//   output energy  mean over tokens of |W x|^2        = tr(W H W^T),  H = mean of x x^T, without damping
//   output error   mean over tokens of |(W - Q) x|^2  = tr(E H E^T),  E = W - Q
//
// Reports show error / energy. rows * channels^2 flops each: as much as the column loop, at the speed of sgemm.

#include <optional>

#include "base/memory/row_source.h"
#include "base/ranks.h"
#include "base/threads.h"
#include "observe/moment/second_moment.h"

namespace bitloom {

/// W [rows, channels]. Error(kFailed) when the moment has another number of channels. fp32 products of tiles, added up
/// in fp64 in a fixed order: the same value for any number of threads. Memory: per thread two tiles of at most 512 rows
/// of W in fp32.
double output_energy(const RowSource& w, const SecondMoment& moment, ThreadPool& threads);

/// The same of W - Q, which have the same shape (Error(kFailed) otherwise).
double output_error(const RowSource& w, const RowSource& q, const SecondMoment& moment, ThreadPool& threads);

/// output_error() over output_energy(), rows shared out among the ranks; nothing when the energy is 0.
std::optional<double> relative_output_error(const RowSource& w, const RowSource& q, const SecondMoment& moment,
                                            Ranks& ranks, ThreadPool& threads);

}  // namespace bitloom
