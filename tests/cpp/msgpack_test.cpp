#include "llmcore/msgpack.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <string_view>

namespace llmcore {
namespace {

using namespace std::string_view_literals;

TEST(Msgpack, ReadsEveryFormOfAnInteger) {
  const struct {
    std::string_view bytes;
    std::int64_t value;
  } cases[] = {
      {"\x00"sv, 0},
      {"\x7f"sv, 127},
      {"\xff"sv, -1},
      {"\xe0"sv, -32},
      {"\xcc\xff"sv, 255},
      {"\xcd\x01\x00"sv, 256},
      {"\xce\xff\xff\xff\xff"sv, 4'294'967'295},
      {"\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"sv, std::numeric_limits<std::int64_t>::max()},
      {"\xd0\x80"sv, -128},
      {"\xd1\x80\x00"sv, -32'768},
      {"\xd2\x80\x00\x00\x00"sv, -2'147'483'648},
      {"\xd3\x80\x00\x00\x00\x00\x00\x00\x00"sv, std::numeric_limits<std::int64_t>::min()},
  };
  for (const auto& one : cases) {
    MsgpackReader reader(one.bytes);
    EXPECT_EQ(reader.integer(), one.value);
    EXPECT_TRUE(reader.ok() && reader.at_end());
    for (std::size_t cut = 0; cut < one.bytes.size(); ++cut) {
      MsgpackReader shorter(one.bytes.substr(0, cut));
      shorter.integer();
      EXPECT_FALSE(shorter.ok());
    }
  }
}

TEST(Msgpack, RefusesWhatDoesNotFit) {
  MsgpackReader large("\xcf\x80\x00\x00\x00\x00\x00\x00\x00"sv);
  EXPECT_EQ(large.integer(), 0);
  EXPECT_FALSE(large.ok());
  MsgpackReader no_number("\xa1x"sv);
  no_number.integer();
  EXPECT_FALSE(no_number.ok());
  MsgpackReader no_text("\xa2\xc3\x28"sv);  // no UTF-8
  EXPECT_EQ(no_text.text(), "");
  EXPECT_FALSE(no_text.ok());
  MsgpackReader no_array("\x80"sv);
  EXPECT_EQ(no_array.array(), 0U);
  EXPECT_FALSE(no_array.ok());
}

TEST(Msgpack, ReadsReals) {
  EXPECT_EQ(MsgpackReader("\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00"sv).real(), 0.5);
  EXPECT_EQ(MsgpackReader("\xca\x3f\x00\x00\x00"sv).real(), 0.5);
  EXPECT_EQ(MsgpackReader("\x02"sv).real(), 2.0);
  EXPECT_TRUE(std::isnan(MsgpackReader("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"sv).real()));
}

TEST(Msgpack, ReadsTextOfEveryLength) {
  for (const std::size_t length : {0U, 31U, 32U, 255U, 256U, 70'000U}) {
    std::string bytes;
    if (length < 32) {
      bytes = static_cast<char>(0xa0 | length);
    } else if (length < 256) {
      bytes = {'\xd9', static_cast<char>(length)};
    } else if (length < 65'536) {
      bytes = {'\xda', static_cast<char>(length >> 8U), static_cast<char>(length)};
    } else {
      bytes = {'\xdb', 0, static_cast<char>(length >> 16U), static_cast<char>(length >> 8U), static_cast<char>(length)};
    }
    bytes += std::string(length, 'x');
    MsgpackReader reader(bytes);
    EXPECT_EQ(reader.text(), std::string(length, 'x'));
    EXPECT_TRUE(reader.ok() && reader.at_end());
  }
}

TEST(Msgpack, NilIsAnOptionThatIsNotThere) {
  MsgpackReader reader("\xc0\xc0\xc0\xa1x\x05"sv);
  EXPECT_FALSE(reader.optional_text());
  EXPECT_FALSE(reader.optional_integer());
  EXPECT_FALSE(reader.optional_real());
  EXPECT_EQ(reader.optional_text(), "x");
  EXPECT_EQ(reader.optional_integer(), 5);
  EXPECT_TRUE(reader.ok() && reader.at_end());
}

// Lengths that lie must not make anybody reserve memory or read on.
TEST(Msgpack, BelievesNoLengthBeyondItsEnd) {
  for (const auto bytes : {"\xdd\xff\xff\xff\xff\x01"sv, "\xdf\xff\xff\xff\xff\x01\x01"sv, "\xdb\xff\xff\xff\xffx"sv,
                           "\xc6\xff\xff\xff\xffx"sv, "\xc9\xff\xff\xff\xff\x01x"sv}) {
    MsgpackReader skipping(bytes);
    skipping.skip();
    EXPECT_FALSE(skipping.ok());
    MsgpackReader array(bytes);
    EXPECT_EQ(array.array(), 0U);
    MsgpackReader map(bytes);
    EXPECT_EQ(map.map(), 0U);
  }
}

TEST(Msgpack, SkipsOneValueOfAnySort) {
  for (const auto bytes :
       {"\x01"sv, "\xff"sv, "\xc0"sv, "\xc2"sv, "\xc3"sv, "\xcc\x01"sv, "\xd1\x01\x02"sv, "\xca\x01\x02\x03\x04"sv,
        "\xcb\x01\x02\x03\x04\x05\x06\x07\x08"sv, "\xa2xy"sv, "\xd9\x02xy"sv, "\x92\x01\x91\xa1x"sv, "\x81\xa1x\x90"sv,
        "\xdc\x00\x02\x01\x02"sv, "\xde\x00\x01\xa1x\x01"sv, "\xc4\x02xy"sv, "\xd4\x01x"sv, "\xc7\x02\x01xy"sv,
        "\xd8\x01xxxxxxxxxxxxxxxx"sv}) {
    std::string with_more(bytes);
    with_more += '\x05';
    MsgpackReader reader(with_more);
    reader.skip();
    EXPECT_EQ(reader.integer(), 5);
    EXPECT_TRUE(reader.ok() && reader.at_end());
  }
  MsgpackReader never_used("\xc1"sv);
  never_used.skip();
  EXPECT_FALSE(never_used.ok());
}

TEST(Msgpack, SkippingIsNotRecursive) {
  std::string deep(1'000'000, '\x91');
  deep += '\x01';
  MsgpackReader reader(deep);
  reader.skip();
  EXPECT_TRUE(reader.ok() && reader.at_end());
}

}  // namespace
}  // namespace llmcore
