#include "llmcore/ledger_sums.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace llmcore {
namespace {

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

LedgerCall call_at(std::string_view created) {
  LedgerCall call;
  call.tenant = "default";
  call.call_type = "chat";
  call.provider = "openai";
  call.model = "gpt-4o-mini";
  call.status = "success";
  call.source = "provider";
  call.created = created;
  call.attempts = 1;
  call.input_tokens = 10;
  call.output_tokens = 5;
  call.cost = 100;
  call.queued = 7;
  call.latency = 500;
  return call;
}

const LedgerSums::Sums* find(const std::map<LedgerSums::Key, LedgerSums::Sums>& rows, std::string_view scope,
                             std::string_view start) {
  for (const auto& [key, sums] : rows) {
    if (key[0] == scope && key[1].substr(0, start.size()) == start) return &sums;
  }
  return nullptr;
}

TEST(LedgerSums, ADayIsTheSumOfItsHours) {
  LedgerSums sums;
  sums.count(call_at("2026-03-01 12:34:56.000000"));
  sums.count(call_at("2026-03-01 12:59:59.999999"));
  sums.count(call_at("2026-03-01 13:00:00.000000"));
  const auto rows = sums.rows({});
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(find(rows, "hour", "2026-03-01 12:00:00.000000")->amounts[0], 2);
  EXPECT_EQ(find(rows, "hour", "2026-03-01 13:00:00.000000")->amounts[0], 1);
  const auto* day = find(rows, "day", "2026-03-01 00:00:00.000000");
  ASSERT_NE(day, nullptr);
  EXPECT_EQ(day->amounts, (LedgerSums::Amounts{3, 3, 30, 15, 0, 0, 300, 0, 0, 21}));
  EXPECT_EQ(day->longest_queued, 7);
  EXPECT_EQ(day->latency.count(), 3);
}

TEST(LedgerSums, ACallCountsForItsUserAndItsCompanyToo) {
  LedgerSums sums;
  LedgerCall call = call_at("2026-03-01 12:34:56.000000");
  call.user = "ada";
  call.company = "acme";
  call.cost = std::nullopt;
  call.latency = std::nullopt;
  sums.count(call);
  const auto rows = sums.rows({});
  EXPECT_EQ(rows.size(), 4U);
  const auto* user = find(rows, "user", "2026-03-01 00:00:00.000000");
  ASSERT_NE(user, nullptr);
  EXPECT_EQ(user->amounts[6], 0);
  EXPECT_EQ(user->amounts[7], 1);  // at an unknown price
  EXPECT_EQ(user->latency.count(), 0);
  EXPECT_NE(find(rows, "company", "2026-03-01 00:00:00.000000"), nullptr);
}

TEST(LedgerSums, HoldsAmountsAtTheEndOfTheirRange) {
  LedgerSums sums;
  LedgerCall call = call_at("2026-03-01 12:34:56.000000");
  call.cost = kMost;
  sums.count(call);
  sums.count(call);
  for (const auto& [key, one] : sums.rows({})) EXPECT_EQ(one.amounts[6], kMost) << key[0];
}

TEST(LedgerSums, GivesARowOfNothingForOtherKeys) {
  LedgerSums sums;
  sums.count(call_at("2026-03-01 12:34:56.000000"));
  LedgerSums::Key hour = LedgerSums::keys_of(call_at("2026-03-01 12:00:00.000000")).front();
  LedgerSums::Key other = hour;
  other[6] = "gpt-5";
  const auto rows = sums.rows({hour, other});
  EXPECT_EQ(rows.at(hour).amounts[0], 1);
  EXPECT_EQ(rows.at(other).amounts, LedgerSums::Amounts{});
  sums.clear();
  EXPECT_TRUE(sums.rows({}).empty());
}

TEST(LedgerName, IsCutByCharactersAndToldApartByAHash) {
  const std::string long_one(300, 'x');
  const std::string name = ledger_name(long_one + "1", 200);
  EXPECT_EQ(name.size(), 200U);
  EXPECT_EQ(name.substr(0, 188), std::string(187, 'x') + "~");
  EXPECT_NE(name, ledger_name(long_one + "2", 200));
  std::string wide;
  for (int i = 0; i < 200; ++i) wide += "ö";
  EXPECT_EQ(ledger_name(wide, 200), wide);
  EXPECT_EQ(ledger_name(wide + "ö", 200).substr(0, 2 * 187), wide.substr(0, 2 * 187));
  EXPECT_EQ(ledger_name("", 200), "");
}

}  // namespace
}  // namespace llmcore
