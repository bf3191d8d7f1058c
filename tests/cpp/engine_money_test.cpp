// Money in the engine: what a call may cost is set aside before it is sent, what it did cost is spent after.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine_harness.hpp"

namespace llmcore {
namespace {

using testing::Bench;
using testing::call_to;
using testing::open_config;
using testing::usage_of;
using testing::with_key;
using testing::with_tenant;

constexpr NanoUsd kWorst = 300'000;  // of a call as the harness makes it

Config with_budget(NanoUsd limit, std::string scope = "global", Period period = Period::total) {
  Config config = open_config();
  config.budgets = {BudgetRule{std::move(scope), period, limit, {50, 100}}};
  return config;
}

TEST(EngineBudget, SetsTheWorstCaseAsideAndSpendsTheRealCost) {
  Bench bench(with_budget(10 * kWorst));
  const CallId call = bench.submit(call_to({"alpha"}));
  EXPECT_EQ(bench.stats().reserved_nano_usd, kWorst);
  ASSERT_EQ(bench.stats().budgets.size(), 1U);
  EXPECT_EQ(bench.stats().budgets[0].reserved, kWorst);
  bench.reply(call, "x", usage_of(100, 50));
  EXPECT_EQ(bench.stats().reserved_nano_usd, 0);
  EXPECT_EQ(bench.stats().budgets[0].spent, 200'000);
  EXPECT_EQ(bench.finish(call).cost, 200'000);
}

TEST(EngineMoney, TellsWithEveryAttemptWhatItCanCostAtTheMost) {
  Bench bench(open_config());
  const CallId priced = bench.submit(call_to({"alpha"}));
  EXPECT_EQ(bench.sends(priced).at(0).worst_case, kWorst);
  Submit unpriced = call_to({"alpha"});
  unpriced.targets[0].price = nullptr;
  EXPECT_EQ(bench.sends(bench.submit(std::move(unpriced))).at(0).worst_case, std::nullopt);
}

TEST(EngineBudget, LetsConcurrentCallsNotOvershoot) {
  Bench bench(with_budget(2 * kWorst + kWorst - 1));
  const CallId one = bench.submit(call_to({"alpha"}));
  const CallId two = bench.submit(call_to({"alpha"}));
  const CallId three = bench.submit(call_to({"alpha"}));
  EXPECT_TRUE(bench.in_flight(one));
  EXPECT_TRUE(bench.in_flight(two));
  EXPECT_EQ(bench.outcome(three), Outcome::over_budget);
  const std::optional<BudgetRefusal> refusal = bench.finish(three).refusal;
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->scope, "global");
  EXPECT_EQ(refusal->limit, 3 * kWorst - 1);
  EXPECT_EQ(refusal->reserved, 2 * kWorst);
  EXPECT_EQ(refusal->needed, kWorst);
  EXPECT_FALSE(refusal->price_unknown);
  bench.reply(one, "x", usage_of(1, 0));
  EXPECT_TRUE(bench.in_flight(bench.submit(call_to({"alpha"})))) << "what was not used is there for the next";
}

TEST(EngineBudget, AsksAgainWhenAQueuedCallIsSent) {
  Config config = with_budget(2 * kWorst);
  config.limits.max_in_flight = 1;
  Bench bench(config);
  const CallId first = bench.submit(call_to({"alpha"}));
  const CallId second = bench.submit(call_to({"alpha"}));
  const CallId third = bench.submit(call_to({"alpha"}));
  EXPECT_FALSE(bench.finished(second)) << "a call that waits reserves nothing";
  bench.reply(first, "x", usage_of(100, 100));
  bench.reply(second, "x", usage_of(100, 100));
  EXPECT_EQ(bench.outcome(third), Outcome::over_budget);
  EXPECT_TRUE(bench.sends(third).empty());
}

TEST(EngineBudget, RefusesAtOnceWhatItCouldNotPayForLater) {
  Config config = with_budget(kWorst - 1);
  config.limits.requests_per_minute = 1;
  config.limits.minute_burst = true;
  Bench bench(config);
  Submit small = call_to({"alpha"});
  small.targets[0].output_tokens = 0;
  bench.submit(small);
  const CallId call = bench.submit(call_to({"alpha"}));
  EXPECT_EQ(bench.outcome(call), Outcome::over_budget) << "it does not wait for its turn to hear that";
}

TEST(EngineBudget, ChargesEveryMatchingRule) {
  Config config = open_config();
  config.budgets = {BudgetRule{"global", Period::total, 100 * kWorst, {}},
                    BudgetRule{"user=*", Period::total, kWorst, {}}, BudgetRule{"model=beta-1", Period::total, 0, {}},
                    BudgetRule{"tenant=acme", Period::total, 2 * kWorst, {}},
                    BudgetRule{"call_type=chat", Period::total, 100 * kWorst, {}}};
  Bench bench(config);
  Submit alice = call_to({"alpha"});
  alice.scopes = {{"user", "alice"}};
  alice.call_type = "chat";
  EXPECT_TRUE(bench.in_flight(bench.submit(alice)));
  EXPECT_EQ(bench.finish(bench.submit(alice)).refusal->scope, "user=alice");
  alice.scopes = {{"user", "bob"}};
  EXPECT_TRUE(bench.in_flight(bench.submit(alice)));
  EXPECT_EQ(bench.finish(bench.submit(call_to({"beta"}))).refusal->scope, "model=beta-1");
  bench.submit(with_tenant(call_to({"alpha"}), "acme"));
  bench.submit(with_tenant(call_to({"alpha"}), "acme"));
  EXPECT_EQ(bench.finish(bench.submit(with_tenant(call_to({"alpha"}), "acme"))).refusal->scope, "tenant=acme");
  EXPECT_EQ(bench.stats().budgets.size(), 5U) << "global, two users, the tenant and the call type";
}

TEST(EngineBudget, RefusesACallWithoutAPriceAndSaysSo) {
  Bench bench(with_budget(kNever));
  Submit submit = call_to({"alpha"});
  submit.targets[0].price = nullptr;
  const CallId call = bench.submit(submit);
  EXPECT_EQ(bench.outcome(call), Outcome::over_budget);
  EXPECT_TRUE(bench.finish(call).refusal->price_unknown);
}

TEST(EngineBudget, LetsACallWithoutAPriceGoWhereNoBudgetWatches) {
  Bench bench(with_budget(0, "user=alice"));
  Submit submit = call_to({"alpha"});
  submit.targets[0].price = nullptr;
  const CallId call = bench.submit(submit);
  bench.reply(call);
  EXPECT_EQ(bench.outcome(call), Outcome::ok);
  EXPECT_EQ(bench.finish(call).cost, std::nullopt) << "unknown is not nothing";
  EXPECT_EQ(bench.records(call).at(0).cost, std::nullopt);
}

TEST(EngineBudget, ChargesTheReservationWhenTheCostCannotBeTold) {
  Bench bench(with_budget(10 * kWorst));
  PriceCard broken;
  broken.base.input = -1;
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.give(Replied{bench.attempt(call), usage_of(1, 1), std::make_shared<const PriceCard>(broken), nullptr});
  EXPECT_EQ(bench.finish(call).cost, std::nullopt);
  EXPECT_EQ(bench.stats().budgets.at(0).spent, kWorst);
}

TEST(EngineBudget, PricesAnAnswerByTheModelThatAnswered) {
  Bench bench(with_budget(10 * kWorst));
  PriceCard dear;
  dear.base.output = 8'000'000'000;
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.give(Replied{bench.attempt(call), usage_of(100, 100), std::make_shared<const PriceCard>(dear), nullptr});
  EXPECT_EQ(bench.finish(call).cost, 800'000);
  EXPECT_EQ(bench.stats().budgets.at(0).spent, 800'000) << "the bound is the sum of the excess in flight";
}

TEST(EngineBudget, GoesToACheaperTargetWhenTheFirstIsTooDear) {
  Bench bench(with_budget(kWorst - 1));
  Submit submit = call_to({"alpha", "beta"});
  submit.targets[1].output_tokens = 1;
  const CallId call = bench.submit(submit);
  ASSERT_TRUE(bench.in_flight(call));
  EXPECT_EQ(bench.sends(call).at(0).target, 1U);
}

TEST(EngineBudget, LeavesWhatItRefusesToTheOfflineProvider) {
  Bench bench(with_budget(0));
  const CallId call = bench.submit(call_to({"alpha", "offline"}));
  bench.reply(call);
  EXPECT_EQ(bench.finish(call).provider, "offline");
  EXPECT_TRUE(bench.finish(call).fallback);
  EXPECT_EQ(bench.finish(call).refusal, std::nullopt);
}

TEST(EngineBudget, ChargesEveryAttemptThatWasBilled) {
  Bench bench(with_budget(10 * kWorst));
  const CallId call = bench.submit(call_to({"alpha"}));
  Failed cut;
  cut.attempt = bench.attempt(call);
  cut.outcome = Outcome::connection;
  cut.usage = usage_of(100, 10);
  bench.give(cut);
  EXPECT_EQ(bench.records(call).at(0).cost, 120'000);
  bench.pass(kSecond);
  bench.reply(call, "x", usage_of(100, 50));
  EXPECT_EQ(bench.finish(call).cost, 320'000);
  EXPECT_EQ(bench.finish(call).usage, usage_of(200, 60));
  EXPECT_EQ(bench.stats().budgets.at(0).spent, 320'000);
}

TEST(EngineBudget, SpendsNothingOnAttemptsThatFailedOrWereCancelled) {
  Bench bench(with_budget(kWorst));
  bench.fail(bench.submit(call_to({"alpha"})), Outcome::bad_request);
  bench.cancel(bench.submit(call_to({"alpha"})));
  EXPECT_TRUE(bench.stats().budgets.empty());
  EXPECT_TRUE(bench.in_flight(bench.submit(call_to({"alpha"}))));
}

TEST(EngineBudget, HoldsNothingWhileACallBacksOff) {
  Bench bench(with_budget(kWorst));
  const CallId call = bench.submit(call_to({"alpha"}));
  bench.fail(call, Outcome::server_error);
  EXPECT_EQ(bench.stats().reserved_nano_usd, 0);
  const CallId other = bench.submit(call_to({"alpha"}));
  ASSERT_TRUE(bench.in_flight(other));
  bench.pass(kSecond);
  EXPECT_EQ(bench.outcome(call), Outcome::over_budget) << "the retry asks anew";
  EXPECT_EQ(bench.finish(call).attempts, 1U);
}

TEST(EngineBudget, AlertsOncePerThresholdAndAfterTheRecord) {
  Bench bench(with_budget(4 * kWorst));
  const auto spend = [&] {
    const CallId call = bench.submit(call_to({"alpha"}));
    static_cast<void>(bench.actions());
    bench.reply(call, "x", usage_of(100, 100));
    return bench.actions();
  };
  spend();
  EXPECT_TRUE(bench.alerts().empty());
  const std::vector<Action> actions = spend();
  ASSERT_EQ(bench.alerts().size(), 1U);
  EXPECT_EQ(bench.alerts()[0].percent, 50);
  EXPECT_EQ(bench.alerts()[0].spent, 2 * kWorst);
  ASSERT_EQ(actions.size(), 3U);
  EXPECT_TRUE(std::holds_alternative<AttemptRecord>(std::get<Record>(actions[0]).body));
  EXPECT_TRUE(std::holds_alternative<AlertRecord>(std::get<Record>(actions[1]).body));
  EXPECT_TRUE(std::holds_alternative<Finish>(actions[2]));
  spend();
  EXPECT_EQ(bench.alerts().size(), 1U);
  spend();
  ASSERT_EQ(bench.alerts().size(), 2U);
  EXPECT_EQ(bench.alerts()[1].percent, 100);
}

TEST(EngineBudget, BeginsAnewWithItsPeriodAndNeverWithAnOldOne) {
  Bench bench(with_budget(kWorst, "global", Period::hour));
  bench.reply(bench.submit(call_to({"alpha"})), "x", usage_of(100, 100));
  EXPECT_EQ(bench.outcome(bench.submit(call_to({"alpha"}))), Outcome::over_budget);
  bench.set_clock({bench.mono() + kSecond, Bench::kWallStart + kHour});
  const CallId call = bench.submit(call_to({"alpha"}));
  EXPECT_TRUE(bench.in_flight(call));
  bench.set_clock({bench.mono() + kSecond, Bench::kWallStart});
  bench.reply(call, "x", usage_of(100, 100));
  EXPECT_EQ(bench.outcome(bench.submit(call_to({"alpha"}))), Outcome::over_budget)
      << "the wall clock went back, the money did not come back";
}

TEST(EngineBudget, LetsAFollowerCostNothing) {
  Bench bench(with_budget(kWorst));
  const CallId leader = bench.submit(with_key(call_to({"alpha"}), "q"));
  const CallId follower = bench.submit(with_key(call_to({"alpha"}), "q"));
  EXPECT_FALSE(bench.finished(follower)) << "there is no money for a second one, and none is needed";
  bench.reply(leader, "x", usage_of(100, 50));
  EXPECT_EQ(bench.finish(follower).cost, 0);
  EXPECT_EQ(bench.finish(follower).saved, 200'000);
}

TEST(EngineBudget, CountsPicturesInTheWorstCase) {
  Bench bench(with_budget(kNever));
  PriceCard card;
  card.base.per_image = 40'000'000;
  Submit submit = call_to({"alpha"});
  submit.targets[0].price = std::make_shared<const PriceCard>(card);
  submit.targets[0].images = 3;
  bench.submit(submit);
  EXPECT_EQ(bench.stats().reserved_nano_usd, 120'000'000);
}

}  // namespace
}  // namespace llmcore
