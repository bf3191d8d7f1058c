// TokenTracker with many keys, scopes and windows: against a model of a few lines, and how much one call may ever do.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "llmcore/rng.hpp"
#include "llmcore/token_tracker.hpp"

namespace llmcore {
namespace {

constexpr std::int64_t kStartHour = 474'744;  // a multiple of 24: a day begins
constexpr WallTime kStart = kStartHour * kHour;

UsageSample sample(std::string_view model, std::string_view call_type, std::int64_t input = 1) {
  UsageSample one;
  one.model = model;
  one.call_type = call_type;
  one.attempts = 1;
  one.usage.input_uncached = input;
  one.cost = input;
  one.latency = input * kMillisecond;
  return one;
}

/// Every figure of a row that a lost or doubled call would change.
using Figures = std::tuple<std::int64_t, std::int64_t, NanoUsd, std::int64_t, Duration, Duration, Duration>;
Figures figures(const UsageTotals& t) {
  return {t.calls,         t.usage.input_uncached,          t.cost, t.latency.count(), t.latency.sum(),
          t.latency.max(), t.latency.quantile_permille(500)};
}

using RowKey = std::tuple<std::int64_t, std::string, std::string, std::string>;
using Table = std::map<RowKey, Figures>;

Table table_of(const std::vector<TokenTracker::Row>& rows) {
  Table table;
  for (const auto& row : rows) {
    EXPECT_TRUE(table.emplace(RowKey{row.period, row.model, row.call_type, row.scope}, figures(row.totals)).second)
        << "two rows of one key";
  }
  return table;
}

/// What a tracker without bounds on its rows must say, from the list of all calls.
class Model {
 public:
  Model(std::int64_t hours_kept, std::int64_t days_kept) : hours_kept_(hours_kept), days_kept_(days_kept) {}

  void record(const UsageSample& one, WallTime wall) {
    const std::int64_t hour = wall / kHour;
    newest_ = std::max(newest_, hour);
    std::erase_if(hours_, [this](const auto& row) { return std::get<0>(row.first) <= newest_ - hours_kept_; });
    std::erase_if(days_, [this](const auto& row) { return std::get<0>(row.first) <= newest_ / 24 - days_kept_; });
    std::vector<std::string> scopes{""};
    for (const std::string_view scope : one.scopes) {
      if (std::find(scopes.begin(), scopes.end(), scope) == scopes.end()) scopes.emplace_back(scope);
    }
    for (const std::string& scope : scopes) {
      add(all_, 0, one, scope);
      if (hour > newest_ - hours_kept_) add(hours_, hour, one, scope);
      if (hour / 24 > newest_ / 24 - days_kept_) add(days_, hour / 24, one, scope);
    }
  }

  [[nodiscard]] Table rows(UsageWindow window, UsageScope scope) const {
    Table table;
    for (const auto& [key, totals] : window == UsageWindow::all ? all_ : window == UsageWindow::hour ? hours_ : days_) {
      if (std::get<3>(key).empty() == (scope == UsageScope::none)) table.emplace(key, figures(totals));
    }
    return table;
  }

 private:
  using Totals = std::map<RowKey, UsageTotals>;
  static void add(Totals& totals, std::int64_t period, const UsageSample& one, const std::string& scope) {
    UsageTotals& row = totals[{period, std::string(one.model), std::string(one.call_type), scope}];
    ++row.calls;
    row.usage += one.usage;
    row.cost += one.cost.value_or(0);
    row.latency.add(one.latency);
  }
  std::int64_t hours_kept_;
  std::int64_t days_kept_;
  std::int64_t newest_ = std::numeric_limits<std::int64_t>::min() / 2;
  Totals all_, hours_, days_;
};

constexpr std::array kWindows{UsageWindow::all, UsageWindow::hour, UsageWindow::day};
constexpr std::array kScopes{UsageScope::none, UsageScope::each};

void expect_same(const TokenTracker& tracker, const Model& model) {
  for (const UsageWindow window : kWindows) {
    for (const UsageScope scope : kScopes) {
      EXPECT_EQ(table_of(tracker.rows(window, scope)), model.rows(window, scope))
          << static_cast<int>(window) << ' ' << static_cast<int>(scope);
    }
  }
}

/// Calls of a few models, types and scopes, by a clock that mostly goes forward, at times by days, at times back.
class Calls {
 public:
  explicit Calls(std::uint64_t seed) : rng_(seed) {}

  template <class Function>
  void next(Function&& function) {
    const std::string model = "model-" + std::to_string(rng_.below(4));
    const std::string type = "type-" + std::to_string(rng_.below(3));
    const std::array names{std::string("user=a"), std::string("user=b"), std::string("company=c"), std::string()};
    std::vector<std::string_view> scopes;
    for (std::uint64_t i = rng_.below(4); i > 0; --i) scopes.push_back(names[rng_.below(names.size())]);
    const std::uint64_t jump = rng_.below(20);
    hour_ += jump == 0 ? rng_.between(1, 60) : jump == 1 ? -rng_.between(1, 60) : jump < 6 ? 1 : 0;
    UsageSample one = sample(model, type, rng_.between(0, 1000));
    one.scopes = scopes;
    function(one, (kStartHour + hour_) * kHour + rng_.between(0, kHour - 1));
  }

 private:
  Rng rng_;
  std::int64_t hour_ = 0;
};

TEST(TokenTrackerRows, AreWhatTheListOfAllCallsSays) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Calls calls(seed);
    const auto hours = static_cast<std::int64_t>(1 + seed % 7 * 5);
    const auto days = static_cast<std::int64_t>(1 + seed % 5);
    TokenTracker tracker({.hours_kept = hours, .days_kept = days});
    Model model(hours, days);
    for (int i = 0; i < 600; ++i) {
      calls.next([&](const UsageSample& one, WallTime wall) {
        tracker.record(one, wall);
        model.record(one, wall);
      });
      if (i % 37 == 0) expect_same(tracker, model);
    }
    expect_same(tracker, model);
    EXPECT_EQ(tracker.stats().unkept, 0);
    EXPECT_EQ(tracker.stats().shortened, 0);
  }
}

TEST(TokenTrackerRows, WhatIsMergedIsAsIfOneTrackerHadSeenItAll) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Calls calls(seed);
    TokenTracker whole({.hours_kept = 500, .days_kept = 100});
    TokenTracker here({.hours_kept = 500, .days_kept = 100});
    TokenTracker there({.hours_kept = 500, .days_kept = 100});
    for (int i = 0; i < 400; ++i) {
      calls.next([&](const UsageSample& one, WallTime wall) {
        whole.record(one, wall);
        (i % 3 == 0 ? here : there).record(one, wall);
      });
      if (i == 200) {
        here.merge(there);
        there = TokenTracker({.hours_kept = 500, .days_kept = 100});
      }
    }
    here.merge(there);
    here.merge(TokenTracker());
    for (const UsageWindow window : kWindows) {
      for (const UsageScope scope : kScopes) {
        EXPECT_EQ(table_of(here.rows(window, scope)), table_of(whole.rows(window, scope)));
      }
    }
    EXPECT_EQ(figures(here.totals()), figures(whole.totals()));
    const TokenTracker twice(here);
    here.merge(here);
    EXPECT_EQ(here.totals().calls, 2 * twice.totals().calls);
    EXPECT_EQ(here.rows(UsageWindow::day).size(), twice.rows(UsageWindow::day).size());
  }
}

TEST(TokenTrackerRows, ACopyGoesItsOwnWay) {
  TokenTracker tracker;
  tracker.record(sample("m", "t"), kStart);
  TokenTracker copy(tracker);
  copy.record(sample("m", "t"), kStart);
  copy.record(sample("n", "t"), kStart);
  EXPECT_EQ(tracker.rows().size(), 1U);
  EXPECT_EQ(tracker.rows().front().totals.calls, 1);
  EXPECT_EQ(copy.rows().front().totals.calls, 2);
}

// --- bounds
// ----------------------------------------------------------------------------------------------------------------

TEST(TokenTrackerRows, KeysBeyondTheMostShareTheOthersRow) {
  TokenTracker tracker({.max_keys = 3});
  const std::array<std::string_view, 1> ada{"user=ada"};
  const std::array<std::string_view, 1> bob{"user=bob"};
  UsageSample one = sample("m", "t");
  one.scopes = ada;
  tracker.record(one, kStart);               // 2 keys
  tracker.record(sample("n", "t"), kStart);  // the third
  one.scopes = bob;
  tracker.record(one, kStart);
  tracker.record(sample("o", "t"), kStart);
  tracker.record(sample("m", "t"), kStart);

  const auto rows = tracker.rows();
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].model, "(other)");
  EXPECT_EQ(rows[0].call_type, "(other)");
  EXPECT_EQ(rows[0].totals.calls, 1);
  EXPECT_EQ(rows[1].totals.calls, 3);  // m
  const auto scoped = tracker.rows(UsageWindow::all, UsageScope::each);
  ASSERT_EQ(scoped.size(), 2U);
  EXPECT_EQ(scoped[0].scope, "(other)");
  EXPECT_EQ(scoped[1].scope, "user=ada");
  EXPECT_EQ(tracker.stats().other, 2);
  EXPECT_EQ(tracker.totals().calls, 5);
}

TEST(TokenTrackerRows, NeverMoreThanTheMostRowsAndTheOldestWindowGoesFirst) {
  TokenTracker tracker({.hours_kept = 100, .days_kept = 100, .max_rows = 50});
  Rng rng(3);
  std::vector<std::string> models;
  for (int i = 0; i < 15; ++i) models.push_back("model-" + std::to_string(i));
  std::int64_t input = 0;
  for (int i = 0; i < 5000; ++i) {
    const std::string& model = models[rng.below(models.size())];
    tracker.record(sample(model, "t", 3), kStart + i * kHour / 20);
    input += 3;
    ASSERT_LE(tracker.stats().rows, 50);
  }
  EXPECT_GT(tracker.stats().shortened, 0);
  std::int64_t kept = 0;
  for (const auto& row : tracker.rows()) kept += row.totals.usage.input_uncached;
  EXPECT_EQ(kept, input);  // what windows lost, the rows of all time have
  const auto hours = tracker.rows(UsageWindow::hour);
  ASSERT_FALSE(hours.empty());
  EXPECT_EQ(hours.back().period, kStartHour + 249);
}

TEST(TokenTrackerRows, MoreKeysThanRowsAreInTheRowsOfAllTimeAllTheSame) {
  TokenTracker tracker({.max_rows = 2});
  for (int round = 0; round < 3; ++round) {
    for (const char* model : {"a", "b", "c"}) tracker.record(sample(model, "t"), kStart + round * kHour);
  }
  const auto rows = tracker.rows();
  ASSERT_EQ(rows.size(), 3U);
  for (const auto& row : rows) EXPECT_EQ(row.totals.calls, 3);
  EXPECT_GT(tracker.stats().unkept, 0);
  EXPECT_LE(tracker.stats().rows, 2);
}

TEST(TokenTrackerRows, ALongNameIsCutBetweenTwoCharacters) {
  TokenTracker tracker;
  std::string name(255, 'x');
  tracker.record(sample(name + "\xC3\xBC" + "tail", "t"), kStart);  // its two bytes are the 256th and the 257th
  tracker.record(sample(name + "\xC3\xBC" + "other", "t"), kStart);
  const auto rows = tracker.rows();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].model, name);
  EXPECT_EQ(rows[0].totals.calls, 2);
}

TEST(TokenTrackerRows, SixteenScopesCountAndNoMore) {
  TokenTracker tracker;
  std::vector<std::string> names;
  for (int i = 0; i < 20; ++i) names.push_back("scope-" + std::to_string(i));
  const std::vector<std::string_view> scopes(names.begin(), names.end());
  UsageSample one = sample("m", "t");
  one.scopes = scopes;
  tracker.record(one, kStart);
  EXPECT_EQ(tracker.rows(UsageWindow::all, UsageScope::each).size(), 16U);
}

// --- how much one call does
// ----------------------------------------------------------------------------------------------------------------

TEST(TokenTrackerWork, OfOneCallDoesNotGrowWithTheKeys) {
  constexpr int kKeys = 100'000;
  TokenTracker tracker({.hours_kept = 2, .days_kept = 1, .max_keys = kKeys, .max_rows = 5 * kKeys});
  const auto name_of = [](int i) { return "user-" + std::to_string(i); };
  for (int hour = 0; hour < 6; ++hour) {
    for (int i = 0; i < kKeys; ++i) {
      // Every second hour only a handful call: a hundred thousand rows end with nobody to free them but those few.
      if (hour % 2 == 1 && i >= 10) break;
      tracker.record(sample(name_of(i), "chat"), kStart + hour * kHour);
    }
  }
  const TokenTracker::Stats stats = tracker.stats();
  EXPECT_EQ(stats.keys, kKeys);
  EXPECT_EQ(stats.unkept, 0);
  // Chains of two tables (a dozen entries at the longest), those that are split, windows that end, four rows freed.
  EXPECT_LE(stats.most_steps, 128);
}

TEST(TokenTrackerWork, RowsThatEndedAreFreedAFewWithEachCall) {
  TokenTracker tracker({.hours_kept = 1, .days_kept = 1});
  for (int i = 0; i < 1000; ++i) tracker.record(sample("model-" + std::to_string(i), "t"), kStart);
  tracker.record(sample("m", "t"), kStart + kHour);
  EXPECT_EQ(tracker.rows(UsageWindow::hour).size(), 1U);
  const std::int64_t waiting = tracker.stats().retired;
  EXPECT_GE(waiting, 990);
  for (int i = 0; i < 10; ++i) tracker.record(sample("m", "t"), kStart + kHour);
  EXPECT_EQ(tracker.stats().retired, waiting - 40);
  for (int i = 0; i < 250; ++i) tracker.record(sample("m", "t"), kStart + kHour);
  EXPECT_EQ(tracker.stats().retired, 0);
  for (const auto& row : tracker.rows()) EXPECT_EQ(row.totals.calls, row.model == "m" ? 261 : 1);
  EXPECT_EQ(tracker.rows(UsageWindow::day).size(), 1001U);
}

// --- the newest calls
// ----------------------------------------------------------------------------------------------------------------

TEST(TokenTrackerRecent, AreTheNewestInOrder) {
  TokenTracker tracker({.recent_kept = 5});
  EXPECT_TRUE(tracker.recent().empty());
  for (std::int64_t i = 0; i < 23; ++i) {
    tracker.record(sample(i % 2 == 0 ? "even" : "odd", "t", i), kStart + i);
    const auto recent = tracker.recent();
    ASSERT_EQ(recent.size(), static_cast<std::size_t>(std::min<std::int64_t>(i + 1, 5)));
    for (std::size_t at = 0; at < recent.size(); ++at) {
      const std::int64_t expected = i + 1 - static_cast<std::int64_t>(recent.size() - at);
      EXPECT_EQ(recent[at].wall, kStart + expected);
      EXPECT_EQ(recent[at].input_uncached, expected);
      EXPECT_EQ(tracker.names()[recent[at].model], expected % 2 == 0 ? "even" : "odd");
    }
    std::array<RecentCall, 3> last{};
    tracker.copy_recent(last.data(), last.size());
    EXPECT_EQ(last[0].wall, i >= 2 ? kStart + i - 2 : kStart);
  }
}

TEST(TokenTrackerRecent, SayEverythingOfACall) {
  TokenTracker tracker;
  UsageSample one = sample("m", "t", 7);
  one.usage = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, true};
  one.outcome = Outcome::timeout;
  one.cache_hit = true;
  one.attempts = 3;
  one.saved = 13;
  one.cost.reset();
  tracker.record(one, kStart);
  const RecentCall call = tracker.recent().at(0);
  EXPECT_EQ((std::vector{call.input_uncached, call.cache_read, call.cache_write_5m, call.cache_write_1h,
                         call.output_text, call.reasoning, call.audio_input, call.audio_cache_read, call.audio_output,
                         call.image_input, call.image_output, call.images, call.web_searches}),
            (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}));
  EXPECT_EQ(call.outcome, static_cast<std::uint8_t>(Outcome::timeout));
  EXPECT_EQ(call.cache_hit, 1);
  EXPECT_EQ(call.estimated, 1);
  EXPECT_EQ(call.attempts, 3U);
  EXPECT_EQ(call.saved, 13);
  EXPECT_EQ(call.cost, RecentCall::kNoCost);
  EXPECT_EQ(call.latency, 7 * kMillisecond);
}

TEST(TokenTrackerRecent, NoneAreKeptWhereNoneAreWanted) {
  TokenTracker tracker({.recent_kept = 0});
  tracker.record(sample("m", "t"), kStart);
  EXPECT_TRUE(tracker.recent().empty());
  EXPECT_EQ(tracker.totals().calls, 1);
}

TEST(TokenTrackerRecent, OfTwoTrackersTheNewestStay) {
  TokenTracker here({.recent_kept = 4});
  TokenTracker there({.recent_kept = 4});
  for (std::int64_t i = 0; i < 10; ++i)
    (i % 2 == 0 ? here : there).record(sample(i % 2 == 0 ? "e" : "o", "t"), kStart + i);
  here.merge(there);
  const auto recent = here.recent();
  ASSERT_EQ(recent.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(recent[i].wall, kStart + 6 + static_cast<std::int64_t>(i));
    EXPECT_EQ(here.names()[recent[i].model], i % 2 == 0 ? "e" : "o");
  }
}

}  // namespace
}  // namespace llmcore
