#pragma once
// Numbers as people read them: as many digits as the figure deserves, always with its unit.
//
// Goals: one spelling of a quantity in every table and line of the program.
// Non-goals: JSON, which carries full precision and no units.

#include <cstdint>
#include <string>

namespace bitloom {

/// At least `digits` significant digits without an exponent between 1e-4 and 1e6: "14.62", "0.00310", "1.9e+07".
/// "inf" and "nan" as such.
std::string format_significant(double value, int digits);

/// Perplexity, four digits: "14.62", "186.3", "51234".
std::string format_perplexity(double value);

/// A value with the half-width of its 95 % interval, both with the digits that the interval leaves meaningful:
/// "0.0312 ± 0.0008". An interval that is not finite is left out.
std::string format_interval(double value, double low, double high);

/// Bits per weight: "4.50", "16.00".
std::string format_bits(double bits);

/// Bytes as MiB without the unit: "0.61", "14.2", "1024", "<0.01".
std::string format_mib(int64_t bytes);

/// A share in [0, 1] as "97.3 %".
std::string format_percent(double share);

/// Events per second: "0.41", "85.3", "1240".
std::string format_rate(double per_second);

/// Counts for people: "3.15 M", "49152" (below 100000 exact).
std::string format_count(int64_t count);

/// Time: "0.4 s", "12.3 s", "2:05 min", "3:12:40 h".
std::string format_duration(double seconds);

}  // namespace bitloom
