#include "base/text/any_value.h"

#include <gtest/gtest.h>

#include <string>

namespace bitloom {
namespace {

TEST(AnyValue, CopiesAreIndependent) {
  AnyValue a(std::string("one"));
  AnyValue b = a;
  *b.get_if<std::string>() = "two";
  EXPECT_EQ(a.get<std::string>(), "one");
  EXPECT_EQ(b.get<std::string>(), "two");
  a = b;
  EXPECT_EQ(a.get<std::string>(), "two");
}

TEST(AnyValue, EqualsComparesTypeAndValue) {
  EXPECT_EQ(AnyValue(), AnyValue());
  EXPECT_EQ(AnyValue(3), AnyValue(3));
  EXPECT_NE(AnyValue(3), AnyValue(4));
  EXPECT_NE(AnyValue(3), AnyValue(3u));
  EXPECT_NE(AnyValue(3), AnyValue());
  EXPECT_NE(AnyValue(), AnyValue(0));
}

TEST(AnyValue, GivesItsValueAsItsOwnTypeOnly) {
  const AnyValue value(2.5);
  EXPECT_EQ(*value.get_if<double>(), 2.5);
  EXPECT_EQ(value.get_if<float>(), nullptr);
  EXPECT_EQ(value.type(), typeid(double));
  EXPECT_EQ(AnyValue().get_if<double>(), nullptr);
  EXPECT_EQ(AnyValue().type(), typeid(void));
}

}  // namespace
}  // namespace bitloom
