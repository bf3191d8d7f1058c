#include "scenario.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace llmcore {
namespace {

class Scenarios : public ::testing::TestWithParam<Json> {};

TEST_P(Scenarios, BringsAboutExactlyTheExpectedActions) { Scenario(GetParam()).run(); }

INSTANTIATE_TEST_SUITE_P(Table, Scenarios, ::testing::ValuesIn(all_scenarios()),
                         [](const auto& each) { return each.param.at("name").template get<std::string>(); });

TEST(ScenarioTable, HasANameOfItsOwnForEachOfItsManyScenarios) {
  std::set<std::string> names;
  for (const Json& scenario : all_scenarios()) names.insert(scenario.at("name"));
  EXPECT_GE(names.size(), 150U);
  EXPECT_EQ(names.size(), all_scenarios().size());
}

}  // namespace
}  // namespace llmcore
