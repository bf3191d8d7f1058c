#include "llmcore/version.hpp"

#include <gtest/gtest.h>

namespace llmcore {
namespace {

TEST(Version, IsTheOneWrittenInPyproject) { EXPECT_EQ(version(), LLMCORE_EXPECTED_VERSION); }

}  // namespace
}  // namespace llmcore
