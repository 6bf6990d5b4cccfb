#include "base/hadamard/hadamard.h"

#include <cmath>

#include "base/rng.h"

namespace bitloom {
namespace {

/// q = prime^degree; prime 0 when q is no power of an odd prime.
struct PrimePower {
  int64_t prime = 0;
  int degree = 0;
};

PrimePower odd_prime_power(int64_t q) {
  if (q < 3 || q % 2 == 0) return {};
  int64_t p = 3;
  while (p * p <= q && q % p != 0) p += 2;
  if (q % p != 0) p = q;
  int degree = 0;
  for (; q % p == 0; q /= p) ++degree;
  return q == 1 ? PrimePower{p, degree} : PrimePower{};
}

/// Digits of an index in base p: the coefficients of a polynomial, lowest first.
std::vector<int64_t> digits(int64_t index, const PrimePower& field) {
  std::vector<int64_t> result(static_cast<size_t>(field.degree));
  for (int64_t& digit : result) digit = index % field.prime, index /= field.prime;
  return result;
}

int64_t index_of(const std::vector<int64_t>& coefficients, int64_t prime) {
  int64_t index = 0;
  for (size_t i = coefficients.size(); i-- > 0;) index = index * prime + coefficients[i];
  return index;
}

/// a^2 modulo x^degree + tail(x).
int64_t square(int64_t a, const std::vector<int64_t>& tail, const PrimePower& field) {
  const std::vector<int64_t> x = digits(a, field);
  const size_t degree = x.size();
  std::vector<int64_t> product(2 * degree - 1);
  for (size_t i = 0; i < degree; ++i) {
    for (size_t j = 0; j < degree; ++j) product[i + j] = (product[i + j] + x[i] * x[j]) % field.prime;
  }
  for (size_t top = product.size(); top-- > degree;) {
    for (size_t i = 0; i < degree; ++i) {
      int64_t& low = product[top - degree + i];
      low = (low + (field.prime - tail[i]) * product[top]) % field.prime;
    }
  }
  product.resize(degree);
  return index_of(product, field.prime);
}

/// 1 at squares of non-zero elements, -1 elsewhere, 0 at zero; empty when the polynomial is reducible. Then the ring is
/// no field: it has nilpotents, whose squares reach zero, or is a product of fields, which has too few squares.
std::vector<int8_t> character_modulo(const std::vector<int64_t>& tail, int64_t q, const PrimePower& field) {
  std::vector<int8_t> chi(static_cast<size_t>(q), -1);
  chi[0] = 0;
  int64_t squares = 0;
  for (int64_t a = 1; a < q; ++a) {
    const int64_t value = square(a, tail, field);
    if (value == 0) return {};
    if (chi[static_cast<size_t>(value)] == 1) continue;
    chi[static_cast<size_t>(value)] = 1;
    ++squares;
  }
  return squares == (q - 1) / 2 ? chi : std::vector<int8_t>{};
}

/// Q [q, q].
class Jacobsthal {
 public:
  explicit Jacobsthal(int64_t q) : field_(odd_prime_power(q)), chi_(quadratic_character(q)) {}
  int at(int64_t a, int64_t b) const {
    if (field_.degree == 1) return chi_[static_cast<size_t>((a + field_.prime - b) % field_.prime)];
    std::vector<int64_t> x = digits(a, field_);
    const std::vector<int64_t> y = digits(b, field_);
    for (size_t i = 0; i < x.size(); ++i) x[i] = (x[i] + field_.prime - y[i]) % field_.prime;
    return chi_[static_cast<size_t>(index_of(x, field_.prime))];
  }

 private:
  PrimePower field_;
  std::vector<int8_t> chi_;
};

/// [[0, 1], [border, Q]], order q + 1.
std::vector<int8_t> bordered(int64_t q, int8_t border) {
  const Jacobsthal jacobsthal(q);
  const int64_t n = q + 1;
  std::vector<int8_t> matrix(static_cast<size_t>(n * n));
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t c = 0; c < n; ++c) {
      int value = 0;
      if (r > 0 && c > 0) {
        value = jacobsthal.at(r - 1, c - 1);
      } else if (r != c) {
        value = r == 0 ? 1 : border;
      }
      matrix[static_cast<size_t>(r * n + c)] = static_cast<int8_t>(value);
    }
  }
  return matrix;
}

std::vector<int8_t> paley_one(int64_t q) {
  std::vector<int8_t> matrix = bordered(q, -1);
  for (int64_t i = 0; i <= q; ++i) matrix[static_cast<size_t>(i * (q + 1) + i)] = 1;
  return matrix;
}

std::vector<int8_t> paley_two(int64_t q) {
  const std::vector<int8_t> c = bordered(q, 1);
  const int64_t half = q + 1, n = 2 * half;
  std::vector<int8_t> matrix(static_cast<size_t>(n * n));
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t k = 0; k < n; ++k) {
      const int value = c[static_cast<size_t>(r / 2 * half + k / 2)];
      const int block = value == 0 ? (r % 2 == 0 && k % 2 == 0 ? 1 : -1) : (r % 2 == 1 && k % 2 == 1 ? -value : value);
      matrix[static_cast<size_t>(r * n + k)] = static_cast<int8_t>(block);
    }
  }
  return matrix;
}

bool is_paley_order(int64_t order) {
  if (order == 1) return true;
  if (order % 4 != 0 || order > kMaxPaleyOrder) return false;
  return odd_prime_power(order - 1).prime != 0 || (order / 2 % 4 == 2 && odd_prime_power(order / 2 - 1).prime != 0);
}

/// row <- row minus its projections on `count` orthonormal rows.
void remove_projections(double* row, const double* basis, int64_t count, int64_t n) {
  for (int64_t k = 0; k < count; ++k) {
    const double* other = basis + k * n;
    double dot = 0;
    for (int64_t i = 0; i < n; ++i) dot += row[i] * other[i];
    for (int64_t i = 0; i < n; ++i) row[i] -= dot * other[i];
  }
}

}  // namespace

std::vector<int8_t> quadratic_character(int64_t q) {
  const PrimePower field = odd_prime_power(q);
  if (field.prime == 0) return {};
  // Modulo the first irreducible polynomial; for primes that is x, and the field is the integers modulo q.
  for (int64_t polynomial = 0; polynomial < q; ++polynomial) {
    const std::vector<int64_t> tail = digits(polynomial, field);
    const std::vector<int8_t> chi = character_modulo(tail, q, field);
    if (!chi.empty()) return chi;
  }
  return {};
}

std::optional<std::vector<int8_t>> paley_hadamard(int64_t order) {
  if (order == 1) return std::vector<int8_t>{1};
  if (!is_paley_order(order)) return std::nullopt;
  return odd_prime_power(order - 1).prime != 0 ? paley_one(order - 1) : paley_two(order / 2 - 1);
}

std::optional<int64_t> hadamard_core(int64_t n) {
  int64_t core = n;
  while (core % 2 == 0) core /= 2;
  for (; core <= n; core *= 2) {
    if (n % core == 0 && is_paley_order(core)) return core;
  }
  return std::nullopt;
}

std::vector<double> random_orthogonal(int64_t n, uint64_t seed, uint64_t stream) {
  Rng rng(seed, stream);
  std::vector<double> rows(static_cast<size_t>(n * n));
  for (double& value : rows) value = rng.normal();
  for (int64_t r = 0; r < n; ++r) {
    double* row = rows.data() + r * n;
    // Twice: the second pass removes what rounding left behind in the first.
    for (int pass = 0; pass < 2; ++pass) remove_projections(row, rows.data(), r, n);
    double norm = 0;
    for (int64_t i = 0; i < n; ++i) norm += row[i] * row[i];
    for (int64_t i = 0; i < n; ++i) row[i] /= std::sqrt(norm);
  }
  return rows;
}

}  // namespace bitloom
