#pragma once
// What a base family provides. A family says how the dense part of a matrix is stored; side terms (format/side) add to
// any of them. One folder each under format/families, with
//
//   its storage, a small value               to_string, nominal_bits, greatest_parts, has_fixed_sizes (overloads), and
//                                            at_all_widths where it has more than one
//   a parser of its spelling
//   its matrix, a BaseMatrix over parts      open_base (an overload)
//   its row, made by family_row              named in the list of format/families/families.cc
//
// Files, journal, ranks, verify, true bits and tile decoding follow from the row. format/toy_family.h is a whole family
// on one page.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>
#include <vector>

#include "base/memory/dtype.h"
#include "base/text/any_value.h"

namespace bitloom {

/// One stored piece of a matrix: what a file holds under NAME + suffix.
struct TensorPart {
  std::string suffix;  // ".codes", ".scales", ...
  DType dtype = DType::kU8;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

/// Bytes that the part's dtype and shape amount to.
int64_t bytes_of(const TensorPart& part);

/// The dense part of a stored matrix [rows, cols], over bytes that somebody else owns.
class BaseMatrix {
 public:
  virtual ~BaseMatrix() = default;
  /// out [end - begin, cols] fp32. Thread-safe.
  virtual void decode_rows(int64_t begin, int64_t end, float* out) const = 0;
  /// Bits per weight as papers count them, of this very matrix.
  virtual double nominal_bits() const = 0;
  /// Error(kUnverified), starting with `name`, for a code or a side value that its storage cannot mean, a value that is
  /// not finite, padding that is not zero.
  virtual void check_values(const std::string& name) const = 0;
};

/// A family's functions, its storage being a value of any type.
struct FamilyRow {
  std::string_view name;               // of its folder
  const std::type_info* storage_type;  // what the values below hold
  /// Whether `text`, a storage without side terms, is spelled as this family's. The first row that claims it reads it.
  bool (*claims)(std::string_view text);
  /// Error(kUsage) for a spelling that means nothing. Options behind '-' that the family does not know are appended to
  /// `others`; null: they are an error.
  AnyValue (*parse)(std::string_view text, std::vector<std::string>* others);
  /// What may stand behind '-', for messages.
  std::vector<std::string> (*option_names)();
  /// parse(to_string(storage)) == storage.
  std::string (*to_string)(const AnyValue& storage);
  /// Bits per weight of a [rows, cols] matrix as papers count them.
  double (*nominal_bits)(const AnyValue& storage, int64_t rows, int64_t cols);
  /// Its parts, each at its greatest; those of one dimension may turn out smaller (see bounded_part).
  std::vector<TensorPart> (*greatest_parts)(const AnyValue& storage, int64_t rows, int64_t cols);
  /// Whether every matrix of one shape has just these sizes.
  bool (*has_fixed_sizes)(const AnyValue& storage);
  /// The same with codes of every width that an allocation may choose from, narrowest first; just the storage itself
  /// for a family of one width.
  std::vector<AnyValue> (*at_all_widths)(const AnyValue& storage);
  /// A matrix over parts that somebody else owns and that may belong to side terms too. Error(kRefused), starting with
  /// `name`, for parts that are missing or do not fit.
  std::unique_ptr<const BaseMatrix> (*open)(const std::string& name, const AnyValue& storage, int64_t rows,
                                            int64_t cols, const std::vector<TensorPart>& parts);
};

/// The row of a family whose storage is the type S and whose functions are overloads for S. `kParse` has the arguments
/// of FamilyRow::parse and returns an S.
template <typename S, auto kParse>
constexpr FamilyRow family_row(std::string_view name, bool (*claims)(std::string_view),
                               std::vector<std::string> (*option_names)()) {
  return {
      .name = name,
      .storage_type = &typeid(S),
      .claims = claims,
      .parse = [](std::string_view text, std::vector<std::string>* others) { return AnyValue(kParse(text, others)); },
      .option_names = option_names,
      .to_string = [](const AnyValue& s) { return to_string(s.get<S>()); },
      .nominal_bits = [](const AnyValue& s, int64_t rows,
                         int64_t cols) { return nominal_bits(s.get<S>(), rows, cols); },
      .greatest_parts = [](const AnyValue& s, int64_t rows,
                           int64_t cols) { return greatest_parts(s.get<S>(), rows, cols); },
      .has_fixed_sizes = [](const AnyValue& s) { return has_fixed_sizes(s.get<S>()); },
      .at_all_widths =
          [](const AnyValue& s) {
            std::vector<AnyValue> all;
            if constexpr (requires { at_all_widths(s.get<S>()); }) {
              for (S& storage : at_all_widths(s.get<S>())) all.emplace_back(std::move(storage));
            } else {
              all.push_back(s);
            }
            return all;
          },
      .open = [](const std::string& matrix, const AnyValue& s, int64_t rows, int64_t cols,
                 const std::vector<TensorPart>& parts) { return open_base(matrix, s.get<S>(), rows, cols, parts); },
  };
}

/// Every family. format/families/families.cc holds the list and nothing else, so a program that defines this function
/// itself has other families than the library.
std::span<const FamilyRow* const> base_families();

/// The part called `suffix`, with the dtype and shape that `want` has. Error(kRefused), starting with `name` and saying
/// what `storage` needs, where it is missing or differs, or holds another number of bytes than its shape needs.
TensorPart checked_part(const std::string& name, const std::string& storage, const std::vector<TensorPart>& parts,
                        const TensorPart& want);
/// The same for a part of one dimension whose extent is the matrix's own: want.shape is its upper bound.
TensorPart bounded_part(const std::string& name, const std::string& storage, const std::vector<TensorPart>& parts,
                        const TensorPart& want);

}  // namespace bitloom
