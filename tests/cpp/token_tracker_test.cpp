#include "llmcore/token_tracker.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <limits>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace llmcore {
namespace {

constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
constexpr auto kLeast = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kStartHour = 474'744;
constexpr WallTime kStart = kStartHour * kHour;

UsageSample sample(std::string_view model, std::string_view call_type, std::int64_t input = 10,
                   std::int64_t output = 5) {
  UsageSample one;
  one.model = model;
  one.call_type = call_type;
  one.attempts = 1;
  one.usage.input_uncached = input;
  one.usage.output_text = output;
  one.cost = input + 3 * output;
  one.latency = 100 * kMillisecond;
  return one;
}

void expect_equal(const UsageTotals& a, const UsageTotals& b) {
  EXPECT_EQ(a.calls, b.calls);
  EXPECT_EQ(a.errors, b.errors);
  EXPECT_EQ(a.cache_hits, b.cache_hits);
  EXPECT_EQ(a.attempts, b.attempts);
  EXPECT_EQ(a.usage, b.usage);
  EXPECT_EQ(a.cost, b.cost);
  EXPECT_EQ(a.unpriced_calls, b.unpriced_calls);
  EXPECT_EQ(a.saved, b.saved);
  EXPECT_EQ(a.latency.count(), b.latency.count());
  EXPECT_EQ(a.latency.sum(), b.latency.sum());
  EXPECT_EQ(a.latency.min(), b.latency.min());
  EXPECT_EQ(a.latency.max(), b.latency.max());
  for (const std::int64_t permille : {10, 500, 950, 990}) {
    EXPECT_EQ(a.latency.quantile_permille(permille), b.latency.quantile_permille(permille));
  }
}

TEST(TokenTracker, StartsEmpty) {
  const TokenTracker tracker;
  EXPECT_EQ(tracker.totals().calls, 0);
  EXPECT_TRUE(tracker.rows().empty());
  EXPECT_TRUE(tracker.rows(UsageWindow::hour).empty());
}

TEST(TokenTracker, CountsEverythingThatASampleSays) {
  TokenTracker tracker;
  UsageSample one = sample("small", "chat", 100, 20);
  one.usage.cache_read = 7;
  one.usage.estimated = true;
  one.attempts = 3;
  one.cost = 1234;
  one.latency = 250 * kMillisecond;
  tracker.record(one, kStart);
  UsageSample hit = sample("small", "chat", 0, 0);
  hit.cache_hit = true;
  hit.attempts = 0;
  hit.cost = 0;
  hit.saved = 1234;
  tracker.record(hit, kStart);
  UsageSample failed = sample("small", "chat", 0, 0);
  failed.outcome = Outcome::timeout;
  tracker.record(failed, kStart);

  const UsageTotals& totals = tracker.totals();
  EXPECT_EQ(totals.calls, 3);
  EXPECT_EQ(totals.errors, 1);
  EXPECT_EQ(totals.cache_hits, 1);
  EXPECT_EQ(totals.attempts, 4);
  EXPECT_EQ(totals.usage.input_tokens(), 107);
  EXPECT_EQ(totals.usage.cached_tokens(), 7);
  EXPECT_EQ(totals.usage.output_tokens(), 20);
  EXPECT_TRUE(totals.usage.estimated);
  EXPECT_EQ(totals.cost, 1234);
  EXPECT_EQ(totals.saved, 1234);
  EXPECT_EQ(totals.latency.count(), 3);
  EXPECT_EQ(totals.latency.max(), 250 * kMillisecond);
}

TEST(TokenTracker, ACallIsUnpricedWhenItUsedSomethingAtAnUnknownPrice) {
  TokenTracker tracker;
  UsageSample unknown = sample("mystery", "chat");
  unknown.cost.reset();
  tracker.record(unknown, kStart);
  UsageSample picture = sample("mystery", "chat", 0, 0);
  picture.usage.images = 1;
  picture.cost.reset();
  tracker.record(picture, kStart);
  UsageSample refused = sample("mystery", "chat", 0, 0);
  refused.usage.estimated = true;
  refused.cost.reset();
  tracker.record(refused, kStart);
  UsageSample free = sample("local", "chat");
  free.cost = 0;
  tracker.record(free, kStart);
  EXPECT_EQ(tracker.totals().unpriced_calls, 2);
  EXPECT_EQ(tracker.totals().cost, 0);
}

TEST(TokenTracker, KeepsModelsAndCallTypesApartAndSorted) {
  TokenTracker tracker;
  tracker.record(sample("small", "chat", 1), kStart);
  tracker.record(sample("large", "summary", 2), kStart);
  tracker.record(sample("small", "chat", 4), kStart + 5 * kHour);
  tracker.record(sample("large", "chat", 8), kStart);
  // Neither field runs into the other.
  tracker.record(sample("smallc", "hat", 16), kStart);

  const auto rows = tracker.rows();
  ASSERT_EQ(rows.size(), 4U);
  const auto expect_row = [&rows](std::size_t at, const char* model, const char* call_type, std::int64_t input) {
    EXPECT_EQ(rows[at].model, model);
    EXPECT_EQ(rows[at].call_type, call_type);
    EXPECT_EQ(rows[at].period, 0);
    EXPECT_EQ(rows[at].totals.usage.input_uncached, input);
  };
  expect_row(0, "large", "chat", 8);
  expect_row(1, "large", "summary", 2);
  expect_row(2, "small", "chat", 5);
  expect_row(3, "smallc", "hat", 16);
}

TEST(TokenTracker, KeepsHoursApartAndSorted) {
  TokenTracker tracker;
  tracker.record(sample("b", "chat", 1), kStart + kHour);
  tracker.record(sample("a", "chat", 2), kStart + kHour);
  tracker.record(sample("a", "chat", 4), kStart);
  tracker.record(sample("a", "chat", 8), kStart + kHour - 1);
  tracker.record(sample("a", "chat", 16), kStart + 2 * kHour - 1);

  const auto rows = tracker.rows(UsageWindow::hour);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].period, kStartHour);
  EXPECT_EQ(rows[0].model, "a");
  EXPECT_EQ(rows[0].totals.usage.input_uncached, 12);
  EXPECT_EQ(rows[1].period, kStartHour + 1);
  EXPECT_EQ(rows[1].model, "a");
  EXPECT_EQ(rows[1].totals.usage.input_uncached, 18);
  EXPECT_EQ(rows[2].period, kStartHour + 1);
  EXPECT_EQ(rows[2].model, "b");
  EXPECT_EQ(rows[2].totals.usage.input_uncached, 1);
}

TEST(TokenTracker, DropsHoursOlderThanTheRetentionButNotTheirTotals) {
  TokenTracker tracker({.hours_kept = 3});
  for (int hour = 0; hour < 10; ++hour) tracker.record(sample("small", "chat"), kStart + hour * kHour);
  const auto rows = tracker.rows(UsageWindow::hour);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows.front().period, kStartHour + 7);
  EXPECT_EQ(rows.back().period, kStartHour + 9);
  EXPECT_EQ(tracker.totals().calls, 10);
  EXPECT_EQ(tracker.rows().front().totals.calls, 10);
}

TEST(TokenTracker, ASampleFromALongGoneHourCountsInTheTotalsAlone) {
  TokenTracker tracker({.hours_kept = 2});
  tracker.record(sample("small", "chat"), kStart);
  tracker.record(sample("small", "chat"), kStart - kHour);
  tracker.record(sample("small", "chat"), kStart - 2 * kHour);
  EXPECT_EQ(tracker.rows(UsageWindow::hour).size(), 2U);
  EXPECT_EQ(tracker.totals().calls, 3);
}

TEST(TokenTracker, OneHourKeptIsTheHourOfNow) {
  TokenTracker tracker({.hours_kept = 1});
  tracker.record(sample("small", "chat"), kStart);
  tracker.record(sample("small", "chat"), kStart + kHour);
  ASSERT_EQ(tracker.rows(UsageWindow::hour).size(), 1U);
  EXPECT_EQ(tracker.rows(UsageWindow::hour).front().period, kStartHour + 1);
}

TEST(TokenTracker, RefusesWhatMakesNoSense) {
  EXPECT_THROW(TokenTracker({.hours_kept = 0}), std::invalid_argument);
  EXPECT_THROW(TokenTracker({.days_kept = kLeast}), std::invalid_argument);
  EXPECT_THROW(TokenTracker({.max_rows = 1}), std::invalid_argument);
  EXPECT_THROW(TokenTracker({.max_keys = 0}), std::invalid_argument);
  EXPECT_THROW(TokenTracker({.recent_kept = -1}), std::invalid_argument);
}

TEST(TokenTracker, HoursBeforeTheEpochAreNegative) {
  TokenTracker tracker;
  tracker.record(sample("small", "chat"), -1);
  tracker.record(sample("small", "chat"), -kHour - 1);
  tracker.record(sample("small", "chat"), 0);
  const auto rows = tracker.rows(UsageWindow::hour);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].period, -2);
  EXPECT_EQ(rows[1].period, -1);
  EXPECT_EQ(rows[2].period, 0);
}

TEST(TokenTracker, SurvivesTheEndsOfEveryRange) {
  TokenTracker tracker({.hours_kept = kMost, .days_kept = kMost});
  UsageSample huge = sample("small", "chat");
  huge.usage.input_uncached = kMost;
  huge.attempts = kMost;
  huge.cost = kMost;
  huge.saved = kMost;
  huge.latency = kMost;
  for (const WallTime wall : {kLeast, kMost, WallTime{0}}) tracker.record(huge, wall);
  EXPECT_EQ(tracker.totals().calls, 3);
  EXPECT_EQ(tracker.totals().attempts, kMost);
  EXPECT_EQ(tracker.totals().cost, kMost);
  EXPECT_EQ(tracker.totals().saved, kMost);
  EXPECT_EQ(tracker.totals().usage.input_uncached, kMost);
  EXPECT_EQ(tracker.totals().latency.sum(), kMost);
  EXPECT_EQ(tracker.rows(UsageWindow::hour).size(), 3U);
}

TEST(TokenTracker, TheTotalsAreTheMergerOfTheRows) {
  std::mt19937_64 random(7);
  const auto below = [&random](std::uint64_t bound) { return static_cast<std::int64_t>(random() % bound); };
  TokenTracker tracker({.hours_kept = 100});
  std::set<std::tuple<std::int64_t, std::string, std::string>> keys;
  for (int i = 0; i < 2000; ++i) {
    const std::string model(1, static_cast<char>('a' + below(4)));
    const std::string call_type(1, static_cast<char>('x' + below(3)));
    UsageSample one = sample(model, call_type, below(1000), below(1000));
    one.outcome = below(5) == 0 ? Outcome::server_error : Outcome::ok;
    one.cache_hit = below(5) == 0;
    one.saved = below(100);
    if (below(5) == 0) one.cost.reset();
    one.latency = below(10) * kSecond + below(static_cast<std::uint64_t>(kSecond));
    const std::int64_t hour = below(50);
    tracker.record(one, kStart + hour * kHour);
    keys.emplace(hour, model, call_type);
  }
  UsageTotals by_key;
  for (const auto& row : tracker.rows()) by_key.merge(row.totals);
  expect_equal(by_key, tracker.totals());
  UsageTotals by_hour;
  for (const auto& row : tracker.rows(UsageWindow::hour)) by_hour.merge(row.totals);
  expect_equal(by_hour, tracker.totals());
  EXPECT_EQ(tracker.rows().size(), 12U);
  EXPECT_EQ(tracker.rows(UsageWindow::hour).size(), keys.size());
}

TEST(UsageTotals, MergingHoldsSumsAtTheEndOfTheRange) {
  UsageTotals a;
  a.calls = a.errors = a.cache_hits = a.attempts = a.cost = a.unpriced_calls = a.saved = kMost - 1;
  UsageTotals b;
  b.calls = b.errors = b.cache_hits = b.attempts = b.cost = b.unpriced_calls = b.saved = 5;
  a.merge(b);
  for (const std::int64_t sum : {a.calls, a.errors, a.cache_hits, a.attempts, a.cost, a.unpriced_calls, a.saved}) {
    EXPECT_EQ(sum, kMost);
  }
}

}  // namespace
}  // namespace llmcore
