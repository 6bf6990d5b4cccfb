#pragma once
// What a multiply-accumulate unit would cost in hardware, in FPGA look-up tables or in two-input gates: two fits of one
// skeleton (papers' floating-point page, 6.5 and 7.6) to the few figures that papers give. Constants and figures lie in
// cost_constants.json; the fits are ours, and every answer comes with how far they are off.
//
// Goals: formats of one machine against each other. Non-goals: the speed of any processor, memories, control; a GPU
// whose FP8 is as fast as its INT8 is not described by this.

#include <cstdint>
#include <string>
#include <vector>

#include "hardware/operand.h"

namespace bitloom {

/// What adds the products up: fixed point wide enough to lose nothing, or a floating-point adder.
enum class Accumulator { kExact, kFp32, kFp16 };
/// "exact", "fp32", "fp16".
std::string name_of(Accumulator accumulator);
/// Error(kUsage) beginning with `place`.
Accumulator parse_accumulator(const std::string& text, const std::string& place);

/// Costs of one bit, or one bit of one stage.
struct CostConstants {
  double multiplier = 0;  // a bit times a bit
  double exponent = 0;    // a bit of an exponent adder
  double shifter = 0;     // a bit of one stage of a shifter
  double adder = 0;       // a bit of the accumulator
  double rounding = 0;    // normalizing and rounding to a float, once per addition
  double area = 0;        // um2 of the 40 nm process that one unit of the model stands for; 0: not known
};

/// s bits of significands, e of exponents, P of the product, W of the exact sum, S and E those of the accumulating
/// float:
///   multiplier   c s_a s_b                        and, unless both are integers,
///   exponents    c (max(e_a, e_b) + 1)
///   alignment    c P ceil(log2 P), exact with e > 1;   2 c S ceil(log2 S) of floats, before and behind the addition
///   accumulator  c W;                                  c S + c_exponent E
///   rounding     0;                                    c
struct MacCost {
  double multiplier = 0, exponents = 0, alignment = 0, accumulator = 0, rounding = 0;
  double total() const { return multiplier + exponents + alignment + accumulator + rounding; }
};
MacCost mac_cost(const CostConstants& constants, const Operand& a, const Operand& b, Accumulator accumulator,
                 int64_t terms);
/// The total of an exact unit whose sum is made a float once: a shifter of W bits and a rounding more.
double cost_with_conversion(const CostConstants& constants, const Operand& a, const Operand& b, int64_t terms);

/// Terms that one accumulator adds up: of a group, where groups have scales of their own.
int64_t terms_between_scales(const Operand& a, const Operand& b, int64_t terms);

/// A published figure, and what the model makes of it.
struct CostFigure {
  std::string of;             // a key of cost_constants.json: "multiplier", "relative", "least ratio" ...
  std::string weights, acts;  // of one unit; "" of ratios
  Accumulator accumulator = Accumulator::kExact;
  std::string source;
  double given = 0, ours = 0;
  bool fitted = false;  // otherwise held beside the fit
  double misfit() const { return ours / given - 1; }
};

struct CostModel {
  std::string name, unit, note;  // "luts", "LUTs"; note: whose fit it is
  int64_t terms = 0;             // of the dot products that the figures are for
  std::vector<std::string> ratio_formats;
  CostConstants constants;
  std::vector<CostFigure> figures;
  /// Root mean square of log(ours / given) over the figures that were fitted, and the largest |misfit| of one.
  double spread() const;
  double worst() const;
};
const CostModel& lut_model();
const CostModel& gate_model();

/// A model with other constants, and what its figures become.
CostModel with_constants(const CostModel& model, const CostConstants& constants);

}  // namespace bitloom
