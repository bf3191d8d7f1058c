// One answer for many: the cache, and calls that join an identical one in flight.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine_harness.hpp"

namespace llmcore {
namespace {

using testing::Bench;
using testing::call_to;
using testing::open_config;
using testing::text_of;
using testing::usage_of;
using testing::with_deadline;
using testing::with_key;
using testing::with_priority;
using testing::with_tenant;

Submit question(const std::string& text, const std::vector<std::string>& providers = {"alpha"}) {
  return with_key(call_to(providers), text);
}

// --- the cache -------------------------------------------------------------------------------------------------------

TEST(EngineCache, AnswersTheSameQuestionAgain) {
  Bench bench;
  bench.reply(bench.submit(question("q")), "forty-two", usage_of(100, 50));
  const CallId again = bench.submit(question("q"));
  const Finish finish = bench.finish(again);
  EXPECT_EQ(finish.outcome, Outcome::ok);
  EXPECT_EQ(finish.source, Source::cache);
  EXPECT_EQ(text_of(finish.payload), "forty-two");
  EXPECT_EQ(finish.provider, "alpha");
  EXPECT_EQ(finish.model, "alpha-1");
  EXPECT_EQ(finish.attempts, 0U);
  EXPECT_EQ(finish.cost, 0);
  EXPECT_EQ(finish.saved, 200'000);
  EXPECT_EQ(finish.usage, Usage{});
  EXPECT_EQ(finish.latency, 0);
  EXPECT_FALSE(finish.fallback);
  EXPECT_EQ(bench.stats().cache.hits, 1);
  EXPECT_EQ(bench.engine().tracker().totals().cache_hits, 1);
}

TEST(EngineCache, SavesWhatTheFirstCallCostWithAllItsAttempts) {
  Bench bench;
  const CallId first = bench.submit(question("q"));
  Failed cut;
  cut.attempt = bench.attempt(first);
  cut.outcome = Outcome::connection;
  cut.usage = usage_of(100, 0);
  bench.give(cut);
  bench.pass(kSecond);
  bench.reply(first, "x", usage_of(100, 50));
  EXPECT_EQ(bench.finish(bench.submit(question("q"))).saved, 300'000);
}

TEST(EngineCache, ForgetsAnswersThatAreTooOld) {
  Config config = open_config();
  config.cache.ttl = kMinute;
  Bench bench(config);
  bench.reply(bench.submit(question("q")));
  bench.pass(kMinute - 1);
  EXPECT_TRUE(bench.finished(bench.submit(question("q"))));
  bench.pass(1);
  EXPECT_TRUE(bench.in_flight(bench.submit(question("q"))));
}

TEST(EngineCache, AnswersNobodyWithoutAKey) {
  Bench bench;
  bench.reply(bench.submit(call_to({"alpha"})));
  EXPECT_TRUE(bench.in_flight(bench.submit(call_to({"alpha"}))));
  EXPECT_EQ(bench.stats().cache.entries, 0);
}

TEST(EngineCache, KeepsTenantsApart) {
  Bench bench;
  const Submit acme = with_key(with_tenant(call_to({"alpha"}), "acme"), "q");
  const Submit other = with_key(with_tenant(call_to({"alpha"}), "other"), "q");
  const CallId flying = bench.submit(acme);
  EXPECT_TRUE(bench.in_flight(bench.submit(other))) << "nor do they join one another";
  bench.reply(flying);
  EXPECT_TRUE(bench.finished(bench.submit(acme)));
  Bench fresh;
  fresh.reply(fresh.submit(acme));
  EXPECT_TRUE(fresh.in_flight(fresh.submit(other)));
}

TEST(EngineCache, KeepsNoErrorsFallbacksNorWhatHasNoPayload) {
  Bench bench;
  bench.fail(bench.submit(question("error")), Outcome::bad_request);
  EXPECT_TRUE(bench.in_flight(bench.submit(question("error"))));

  const CallId fallback = bench.submit(question("fallback", {"alpha", "beta"}));
  bench.fail(fallback, Outcome::auth);
  bench.reply(fallback);
  EXPECT_TRUE(bench.in_flight(bench.submit(question("fallback", {"alpha", "beta"}))));

  const CallId bare = bench.submit(question("bare"));
  bench.give(Replied{bench.attempt(bare), usage_of(1, 1), nullptr, nullptr});
  EXPECT_EQ(bench.outcome(bare), Outcome::ok);
  EXPECT_TRUE(bench.in_flight(bench.submit(question("bare"))));
  EXPECT_EQ(bench.stats().cache.entries, 0);
}

TEST(EngineCache, CanBeTurnedOff) {
  Config config = open_config();
  config.cache.max_entries = 0;
  Bench bench(config);
  bench.reply(bench.submit(question("q")));
  EXPECT_TRUE(bench.in_flight(bench.submit(question("q"))));
}

TEST(EngineCache, AnswersEvenWhenNothingElseCould) {
  Config config = open_config();
  config.limits.requests_per_minute = 1;
  config.limits.minute_burst = true;
  config.queue.total_capacity = 0;
  Bench bench(config);
  Submit first = question("q");
  EXPECT_EQ(bench.outcome(bench.submit(first)), Outcome::queue_full);
  config.queue.total_capacity = 1;
  Bench open(config);
  open.reply(open.submit(first));
  open.break_down("alpha", "other");
  EXPECT_EQ(open.finish(open.submit(first)).source, Source::cache);
}

// --- single flight ---------------------------------------------------------------------------------------------------

TEST(EngineSingleFlight, SendsOneCallForAllThatAskTheSame) {
  Bench bench;
  const CallId leader = bench.submit(question("q"));
  bench.pass(kSecond);
  std::vector<CallId> followers;
  for (int i = 0; i < 5; ++i) followers.push_back(bench.submit(question("q")));
  EXPECT_EQ(bench.order().size(), 1U);
  EXPECT_EQ(bench.stats().following, 5);
  EXPECT_EQ(bench.stats().joined, 5);
  bench.pass(kSecond);
  bench.reply(leader, "forty-two", usage_of(100, 50));
  for (const CallId follower : followers) {
    const Finish finish = bench.finish(follower);
    EXPECT_EQ(finish.outcome, Outcome::ok);
    EXPECT_EQ(finish.source, Source::joined);
    EXPECT_EQ(text_of(finish.payload), "forty-two");
    EXPECT_EQ(finish.provider, "alpha");
    EXPECT_EQ(finish.attempts, 0U);
    EXPECT_EQ(finish.cost, 0);
    EXPECT_EQ(finish.saved, 200'000);
    EXPECT_EQ(finish.latency, kSecond);
    EXPECT_EQ(finish.queued, kSecond);
    EXPECT_FALSE(finish.fallback);
  }
  EXPECT_EQ(bench.finish(bench.submit(question("q"))).source, Source::cache);
  EXPECT_TRUE(bench.at_rest());
}

TEST(EngineSingleFlight, JoinsCallsThatWaitAndBackOffToo) {
  Config config = open_config();
  config.limits.max_in_flight = 1;
  Bench bench(config);
  const CallId other = bench.submit(call_to({"alpha"}));
  const CallId leader = bench.submit(question("q"));
  const CallId joined_in_queue = bench.submit(question("q"));
  EXPECT_EQ(bench.stats().queued, 1);
  bench.reply(other);
  bench.fail(leader, Outcome::server_error);
  const CallId joined_in_backoff = bench.submit(question("q"));
  EXPECT_EQ(bench.stats().following, 2);
  bench.pass(kSecond);
  bench.reply(leader);
  EXPECT_EQ(bench.finish(joined_in_queue).source, Source::joined);
  EXPECT_EQ(bench.finish(joined_in_backoff).source, Source::joined);
}

TEST(EngineSingleFlight, LetsTheNextLeadWhenTheLeaderFails) {
  Bench bench;
  const CallId leader = bench.submit(question("q"));
  const CallId second = bench.submit(question("q"));
  const CallId third = bench.submit(question("q"));
  bench.fail(leader, Outcome::auth);
  EXPECT_EQ(bench.outcome(leader), Outcome::auth);
  EXPECT_TRUE(bench.in_flight(second));
  EXPECT_TRUE(bench.sends(third).empty());
  EXPECT_EQ(bench.stats().following, 1);
  bench.reply(second, "at last");
  EXPECT_EQ(bench.finish(second).source, Source::provider);
  EXPECT_EQ(bench.finish(third).source, Source::joined);
  EXPECT_EQ(text_of(bench.finish(third).payload), "at last");
}

TEST(EngineSingleFlight, LetsTheNextLeadWhenTheLeaderIsCancelled) {
  Bench bench;
  const CallId leader = bench.submit(question("q"));
  const CallId second = bench.submit(question("q"));
  const CallId third = bench.submit(question("q"));
  bench.cancel(leader);
  EXPECT_TRUE(bench.in_flight(second));
  bench.cancel(second);
  EXPECT_TRUE(bench.in_flight(third));
  bench.reply(third);
  EXPECT_TRUE(bench.at_rest());
}

TEST(EngineSingleFlight, LetsTheNextLeadWhenTheLeaderRunsOutOfTime) {
  Bench bench;
  const CallId leader = bench.submit(with_deadline(question("q"), kSecond));
  const CallId second = bench.submit(with_deadline(question("q"), 10 * kSecond));
  bench.pass(kSecond);
  EXPECT_EQ(bench.outcome(leader), Outcome::timeout);
  ASSERT_TRUE(bench.in_flight(second));
  EXPECT_EQ(bench.sends(second).at(0).not_after, bench.mono() + 9 * kSecond) << "its own deadline stands";
}

TEST(EngineSingleFlight, LetsTheNextLeadWhenTheAnswerIsNotToBeShared) {
  Bench bench;
  const CallId leader = bench.submit(question("q"));
  const CallId second = bench.submit(question("q"));
  bench.give(Replied{bench.attempt(leader), usage_of(1, 1), nullptr, nullptr});
  EXPECT_EQ(bench.outcome(leader), Outcome::ok);
  EXPECT_TRUE(bench.in_flight(second));
}

TEST(EngineSingleFlight, EndsAFollowerAtItsOwnDeadline) {
  Bench bench;
  const CallId leader = bench.submit(question("q"));
  const CallId follower = bench.submit(with_deadline(question("q"), 5 * kSecond));
  bench.pass(5 * kSecond);
  EXPECT_EQ(bench.outcome(follower), Outcome::timeout);
  EXPECT_EQ(bench.finish(follower).queued, 5 * kSecond);
  EXPECT_TRUE(bench.in_flight(leader));
  bench.reply(leader);
  EXPECT_TRUE(bench.at_rest());
}

TEST(EngineSingleFlight, LetsTheOfflineProviderAnswerAFollowerWhoseTimeIsOver) {
  Bench bench;
  const CallId leader = bench.submit(question("q", {"alpha", "offline"}));
  const CallId follower = bench.submit(with_deadline(question("q", {"alpha", "offline"}), kSecond));
  bench.pass(kSecond);
  ASSERT_EQ(bench.sends(follower).at(0).target, 1U);
  bench.reply(follower, "template");
  EXPECT_TRUE(bench.finish(follower).fallback);
  EXPECT_TRUE(bench.in_flight(leader));
  bench.reply(leader, "real");
  EXPECT_EQ(text_of(bench.finish(bench.submit(question("q", {"alpha", "offline"}))).payload), "real")
      << "the fallback was not kept";
}

TEST(EngineSingleFlight, SharesAFallbackAsAFallback) {
  Bench bench;
  const CallId leader = bench.submit(question("q", {"alpha", "beta"}));
  const CallId follower = bench.submit(question("q", {"alpha", "beta"}));
  bench.fail(leader, Outcome::auth);
  bench.reply(leader, "from beta");
  const Finish finish = bench.finish(follower);
  EXPECT_EQ(finish.source, Source::joined);
  EXPECT_EQ(finish.provider, "beta");
  EXPECT_EQ(finish.model, "beta-1");
  EXPECT_TRUE(finish.fallback);
}

TEST(EngineSingleFlight, JoinsNobodyWithoutAKey) {
  Bench bench;
  bench.submit(call_to({"alpha"}));
  EXPECT_TRUE(bench.in_flight(bench.submit(call_to({"alpha"}))));
}

TEST(EngineSingleFlight, NeedsNoPlaceInTheQueueForFollowers) {
  Config config = open_config();
  config.limits.max_in_flight = 1;
  config.queue.class_capacity = {0, 1, 0};
  Bench bench(config);
  bench.submit(call_to({"alpha"}));
  const CallId leader = bench.submit(question("q"));
  EXPECT_FALSE(bench.finished(leader));
  const CallId follower = bench.submit(with_priority(question("q"), Priority::low));
  EXPECT_FALSE(bench.finished(follower)) << "it joins though the queue is full";
}

TEST(EngineSingleFlight, LetsManyFollowersLeadInTurnWhenAllAreRefused) {
  Config config = open_config();
  config.budgets = {BudgetRule{"global", Period::total, 300'000, {}}};
  Bench bench(config, Bench::kStart, 0);
  const CallId leader = bench.submit(question("q"));
  constexpr CallId kFollowers = 20'000;
  for (CallId i = 0; i < kFollowers; ++i) bench.submit(question("q"));
  Failed billed;
  billed.attempt = bench.attempt(leader);
  billed.outcome = Outcome::bad_request;
  billed.usage = usage_of(100, 100);
  bench.give(billed);  // now the budget is spent
  EXPECT_EQ(bench.outcome(leader), Outcome::bad_request);
  for (CallId id = leader + 1; id <= leader + kFollowers; ++id) {
    ASSERT_EQ(bench.outcome(id), Outcome::over_budget);
    ASSERT_EQ(bench.finish(id).source, Source::none);
  }
  EXPECT_TRUE(bench.at_rest());
}

TEST(EngineSingleFlight, KeepsTheOrderOfFollowersWhenSomeLeave) {
  Bench bench;
  const CallId leader = bench.submit(question("q"));
  const CallId second = bench.submit(question("q"));
  const CallId third = bench.submit(question("q"));
  const CallId fourth = bench.submit(question("q"));
  bench.cancel(second);
  bench.fail(leader, Outcome::auth);
  EXPECT_TRUE(bench.in_flight(third));
  bench.cancel(fourth);
  bench.reply(third);
  EXPECT_TRUE(bench.at_rest());
}

}  // namespace
}  // namespace llmcore
