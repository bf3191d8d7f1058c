// The reports: the same bytes as from Python (tests/data/usage, which test_usage_report.py reads too), and sound whatever a name holds.
#include "llmcore/usage_report.hpp"

#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace llmcore {
namespace {

constexpr WallTime kStart = 19'782 * 24 * kHour + 23 * kHour;  // 2024-02-29, its last hour
constexpr auto kMost = std::numeric_limits<std::int64_t>::max();

std::string file(const char* name) {
  std::ifstream in(std::string("tests/data/usage/") + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// What test_usage_report.py records too, call by call.
TokenTracker recorded() {
  TokenTracker tracker;
  const std::array<std::string_view, 2> ada{"user=ada", "company=\"Größe\""};
  for (int i = 0; i < 40; ++i) {
    UsageSample call;
    call.model = i % 4 == 0 ? "gpt-4o" : "gpt-4o-mini";
    call.call_type = i % 3 == 0 ? "" : "chat";
    call.attempts = 1 + i % 2;
    call.outcome = i % 10 == 9 ? Outcome::timeout : Outcome::ok;
    call.cache_hit = i % 8 == 7;
    call.usage.input_uncached = 1000 + i;
    call.usage.cache_read = 10 * i;
    call.usage.cache_write_5m = i;
    call.usage.output_text = 100;
    call.usage.reasoning = i % 5;
    if (i % 20 != 0) call.cost = 165'000 * (i + 1);
    call.saved = i % 8 == 7 ? 5000 : 0;
    call.latency = 100 * kMillisecond + i * i * kMillisecond;
    if (i % 2 == 0) call.scopes = ada;
    tracker.record(call, kStart + i * 6 * kMinute);
  }
  return tracker;
}

Budget charged() {
  Budget budget({{.scope = "global", .period = Period::month, .limit = 100'000'000'000},
                 {.scope = "user=*", .period = Period::day, .limit = 1'000'000'000}});
  const Scopes ada{{"user", "ada"}};
  (void)budget.settle(budget.reserve(ada, 300'000'000, kStart), 250'000'000, kStart);
  (void)budget.reserve({{"user", "bob"}}, 1'500, kStart);
  return budget;
}

TEST(UsageReport, JsonIsWhatPythonGets) {
  EXPECT_EQ(usage_report_json(recorded(), charged().accounts()) + '\n', file("report.json"));
}

TEST(UsageReport, TextIsWhatPythonGets) {
  EXPECT_EQ(usage_report_text(recorded(), charged().accounts(), 3), file("report.txt"));
}

TEST(UsageReport, OfNothingIsSound) {
  const auto json = nlohmann::json::parse(usage_report_json(TokenTracker()));
  EXPECT_EQ(json["schema"], "llmcore.usage.v1");
  EXPECT_EQ(json["totals"]["calls"], 0);
  EXPECT_TRUE(json["all"].empty());
  EXPECT_EQ(usage_report_text(TokenTracker()).find("0 calls, 0 errors"), 0U);
}

TEST(UsageReport, AddsUpInItself) {
  const auto json = nlohmann::json::parse(usage_report_json(recorded()));
  for (const char* table : {"all", "days", "hours"}) {
    std::int64_t calls = 0;
    std::int64_t cost = 0;
    for (const auto& row : json[table]) {
      if (!row["scope"].is_null()) continue;
      calls += row["calls"].get<std::int64_t>();
      cost += row["cost_nano_usd"].get<std::int64_t>();
    }
    EXPECT_EQ(calls, json["totals"]["calls"]) << table;
    EXPECT_EQ(cost, json["totals"]["cost_nano_usd"]) << table;
  }
  EXPECT_EQ(json["hours"][0]["start"], "2024-02-29T23:00:00Z");
  EXPECT_EQ(json["days"].back()["start"], "2024-03-01T00:00:00Z");
}

TEST(UsageReport, IsValidWhateverANameHolds) {
  TokenTracker tracker;
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte += static_cast<char>(byte);
  UsageSample call;
  call.model = every_byte;
  call.call_type = "\"}],\n";
  const std::array<std::string_view, 1> scopes{"\xFF"};
  call.scopes = scopes;
  tracker.record(call, kStart);
  const auto json = nlohmann::json::parse(usage_report_json(tracker));
  EXPECT_EQ(json["all"][0]["call_type"], "\"}],\n");
  EXPECT_EQ(json["all"][1]["scope"], "\xEF\xBF\xBD");
  for (const char c : usage_report_text(tracker)) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
}

TEST(UsageReport, HoldsAtTheEndsOfEveryRange) {
  TokenTracker tracker({.hours_kept = kMost, .days_kept = kMost});
  UsageSample call;
  call.model = "m";
  call.cost = kMost;
  call.saved = kMost;
  call.latency = kMost;
  for (const WallTime wall : {std::numeric_limits<WallTime>::min(), kMost}) tracker.record(call, wall);
  const auto json = nlohmann::json::parse(usage_report_json(tracker));
  EXPECT_EQ(json["hours"][0]["start"], "1677-09-21T00:00:00Z");
  EXPECT_EQ(json["hours"][1]["start"], "2262-04-11T23:00:00Z");
  EXPECT_NE(usage_report_text(tracker).find("9,223,372,036.854776 USD spent"), std::string::npos);
}

}  // namespace
}  // namespace llmcore
