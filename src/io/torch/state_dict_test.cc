#include "io/torch/state_dict.h"

#include <gmock/gmock.h>

#include "io/test_support.h"
#include "io/torch/test_zip.h"

namespace bitloom {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::pickled;
using testing::pickled_dict;
using testing::pickled_global;
using testing::pickled_tensor;

StateDict read(const std::string& pickle) { return read_state_dict(std::as_bytes(std::span(pickle)), "F"); }

std::string refusal(const std::string& pickle) {
  return testing::message_of(ErrorKind::kRefused, [&] { read(pickle); });
}

TEST(StateDict, DescribesTensors) {
  const std::string pickle =
      pickled_dict({{"a", pickled_tensor({})}, {"b", pickled_tensor({.offset = 4, .shape = {2}, .strides = {1}})}});
  const StateDict dict = read(pickle);
  ASSERT_EQ(dict.tensors.size(), 2u);
  EXPECT_EQ(dict.tensors[0].first, "a");
  EXPECT_THAT(dict.tensors[0].second.shape, ElementsAre(2, 3));
  EXPECT_THAT(dict.tensors[0].second.strides, ElementsAre(3, 1));
  EXPECT_EQ(dict.tensors[1].second.offset, 4);
  EXPECT_EQ(dict.storages.at(dict.tensors[1].second.storage).key, "0");
  EXPECT_EQ(dict.storages.at(0).dtype, DType::kF32);
  EXPECT_EQ(dict.storages.at(0).elements, 6);
}

TEST(StateDict, RefusesEveryFunctionThatIsNotOnTheList) {
  // What exploits call: os.system("true"), by each of the opcodes that can name it.
  const std::string call = "(" + pickled("true") + "tR.";
  EXPECT_EQ(refusal("\x80\x02" + pickled_global("os", "system") + call),
            "F: byte 2: asks for 'os.system'; a state dict of plain tensors needs OrderedDict, _rebuild_tensor_v2, "
            "_rebuild_parameter and storages, and nothing else is loaded or run");
  EXPECT_THAT(refusal("\x80\x04" + pickled("posix") + pickled("system") + "\x93" + call), HasSubstr("'posix.system'"));
  EXPECT_THAT(refusal("\x80\x02(" + pickled("true") + "ios\nsystem\n."), HasSubstr("opcode INST (0x69)"));
  EXPECT_THAT(refusal("\x80\x02" + pickled_global("builtins", "eval") + call), HasSubstr("'builtins.eval'"));
  EXPECT_THAT(refusal("\x80\x02" + pickled_global("torch", "load") + call), HasSubstr("'torch.load'"));
  // A name that only begins or ends as a known one does.
  EXPECT_THAT(refusal("\x80\x02" + pickled_global("torch.FloatStorage", "__class__") + "."), HasSubstr("asks for"));
  EXPECT_THAT(refusal("\x80\x02" + pickled_global("collections", "OrderedDict.fromkeys") + "."), HasSubstr("asks for"));
}

TEST(StateDict, RefusesEveryOpcodeThatIsNotOnTheList) {
  const std::string known = "(.JKMNQRXbchjqrstu})\x80\x85\x86\x87\x88\x89\x8a\x8c\x8d\x93\x94\x95";
  int refused = 0;
  for (int code = 0; code < 256; ++code) {
    if (known.find(static_cast<char>(code)) != std::string::npos) continue;
    const std::string message = refusal(std::string("\x80\x02") + static_cast<char>(code) + "1\n.");
    EXPECT_THAT(message, HasSubstr("F: byte 2: opcode ")) << code;
    EXPECT_THAT(message, HasSubstr(fmt::format("{:#04x}", code)));
    ++refused;
  }
  EXPECT_EQ(refused, 256 - 32);
}

TEST(StateDict, CallsNothingButTheFunctionsOfTheList) {
  EXPECT_THAT(refusal("\x80\x02" + pickled_global("torch", "FloatStorage") + ")R."),
              HasSubstr("calls 'torch.FloatStorage', which is no function"));
  EXPECT_THAT(refusal("\x80\x02}" + pickled_global("collections", "OrderedDict") + "R."),
              HasSubstr("the arguments of a function is a torch function, expected a tuple"));
  EXPECT_THAT(refusal("\x80\x02})R."), HasSubstr("a function is a dict, expected a torch function"));
  EXPECT_THAT(refusal("\x80\x02)}b."), HasSubstr("attributes are set of a tuple"));
}

TEST(StateDict, RefusesWhatIsNoDictOfTensors) {
  EXPECT_EQ(refusal("\x80\x02" + pickled(7) + "."), "F: byte 7: the file holds an int, expected a dict of tensors");
  EXPECT_EQ(refusal(pickled_dict({{"epoch", pickled(3)}})),
            "F: 'epoch' is an int, expected a tensor: only a state dict is read, not a whole training state");
  EXPECT_EQ(refusal(pickled_dict({{"a", pickled_tensor({})}, {"a", pickled_tensor({})}})),
            "F: tensor 'a' is there twice");
  EXPECT_EQ(refusal(pickled_dict({{"\xff", pickled_tensor({})}})), "F: a tensor's name is no valid UTF-8");
  EXPECT_THAT(refusal("\x80\x02}" + pickled(1) + pickled(2) + "s."),
              HasSubstr("a key of a dict is an int, expected a text"));
}

TEST(StateDict, RefusesTensorsThatMakeNoSense) {
  EXPECT_EQ(refusal(pickled_dict({{"a", pickled_tensor({.strides = {1}})}})),
            "F: tensor 'a' has 2 dimensions and 1 strides");
  EXPECT_EQ(refusal(pickled_dict({{"a", pickled_tensor({.shape = {2, -3}})}})),
            "F: tensor 'a': dimensions hold -3, expected whole numbers from 0");
  EXPECT_EQ(refusal(pickled_dict({{"a", pickled_tensor({.offset = -1})}})), "F: tensor 'a' begins at element -1");
  EXPECT_EQ(refusal(pickled_dict({{"a", pickled_tensor({.shape = std::vector<int32_t>(9, 1)})}})),
            "F: tensor 'a' has 9 dimensions, expected at most 8");
  EXPECT_THAT(refusal(pickled_dict({{"a", pickled_tensor({.elements = -6})}})), HasSubstr("a storage has -6 elements"));
  EXPECT_THAT(refusal(pickled_dict({{"a", pickled_tensor({.type = "QInt8Storage"})}})),
              HasSubstr("'torch.QInt8Storage'"));
}

TEST(StateDict, RefusesBrokenPickles) {
  EXPECT_THAT(refusal(""), HasSubstr("truncated at byte 0: an opcode takes 1 bytes"));
  EXPECT_EQ(refusal("\x80\x01."), "F: byte 0: pickle protocol 1, expected 2 to 5");
  EXPECT_EQ(refusal("\x80\x02."), "F: byte 2: nothing is there to be used");
  EXPECT_EQ(refusal("t"), "F: byte 0: no mark is set");
  EXPECT_EQ(refusal("(u"), "F: byte 1: items are set in what is no dict");
  EXPECT_EQ(refusal("}(K\1u"), "F: byte 4: a key of a dict has no value");
  EXPECT_EQ(refusal("\x86"), "F: byte 0: a tuple of 2 lacks items");
  EXPECT_EQ(refusal("h\x05"), "F: byte 0: recalls value 5 of 0");
  EXPECT_EQ(refusal("}r\xff\xff\xff\x7f"), "F: byte 1: remembers a value as number 2147483647, expected at most 0");
  EXPECT_EQ(refusal("cos"), "F: byte 0: a module's name does not end");
  EXPECT_THAT(refusal("X\xff\xff\xff\xff"), HasSubstr("a text takes 4294967295 bytes, 0 are left"));
  EXPECT_THAT(refusal(std::string("\x8a\x09") + std::string(9, 'x')),
              HasSubstr("an int of 9 bytes, expected at most 8"));
  EXPECT_EQ(refusal(std::string(100'001, 'N')), "F: byte 100000: more than 100000 values wait to be used");
}

TEST(StateDict, ReadsIntsOfEveryWidth) {
  const auto shape = [](const std::string& number) {
    const std::string tensor = testing::edited(pickled_tensor({.shape = {7}, .strides = {1}}), pickled(7), number);
    const std::string pickle = pickled_dict({{"a", tensor}});
    return read(pickle).tensors.at(0).second.shape.at(0);
  };
  EXPECT_EQ(shape("K\xff"), 255);
  EXPECT_EQ(shape("M\xff\xff"), 65535);
  EXPECT_EQ(shape(std::string("\x8a\0", 2)), 0);
  EXPECT_EQ(shape(std::string("\x8a\x05\0\0\0\0\x01", 7)), int64_t{1} << 32);
  EXPECT_THAT(testing::message_of(ErrorKind::kRefused, [&] { shape("\x8a\x01\xff"); }),
              HasSubstr("dimensions hold -1"));
}

}  // namespace
}  // namespace bitloom
