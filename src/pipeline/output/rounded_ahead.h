#pragma once
// Rounded matrices that wait on disk, in a directory of their own inside the staged output, until everything has been
// rounded and the weight files can announce their sizes.

#include <memory>
#include <string>

#include "format/stored_matrix.h"

namespace bitloom {

class RoundedAhead {
 public:
  /// Nothing is made on disk before keep().
  explicit RoundedAhead(const std::string& staging);
  ~RoundedAhead() { discard(); }
  RoundedAhead(const RoundedAhead&) = delete;
  RoundedAhead& operator=(const RoundedAhead&) = delete;

  /// Writes the matrix and returns it as mapped from there; it stays readable as long as it is held.
  std::shared_ptr<const StoredMatrix> keep(const std::string& name, const StoredMatrix& matrix);
  /// Removes the directory; what keep() returned stays readable.
  void discard();

 private:
  std::string directory_;
  int kept_ = 0;
};

}  // namespace bitloom
