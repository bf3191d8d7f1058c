// What holds of the limiter over any sequence of calls, and what its hash covers.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "llmcore/rate_limiter.hpp"
#include "llmcore/rng.hpp"
#include "rate_limiter_cases.hpp"

namespace llmcore {
namespace {

using testing::Int128;
using testing::kServer;
using testing::kStart;
using testing::limits;
using testing::requests_left;
using testing::tokens_left;

TEST(RateLimiter, ReturnsToRest) {
  RateLimiter limiter(limits(60, 6'000), kStart);
  EXPECT_TRUE(limiter.at_rest(kStart));
  const auto call = limiter.reserve(600, kStart);
  ASSERT_TRUE(call);
  EXPECT_FALSE(limiter.at_rest(kStart + kHour));  // still in flight
  limiter.settle(*call, 1'200, kStart + kHour);
  EXPECT_FALSE(limiter.at_rest(kStart + kHour + 6 * kSecond - 1));
  EXPECT_TRUE(limiter.at_rest(kStart + kHour + 6 * kSecond));
  RateLimiter open(limits(0), kStart);
  open.observe(requests_left(100, kSecond), kStart);
  EXPECT_FALSE(open.at_rest(kStart + kSecond - 1));
  EXPECT_TRUE(open.at_rest(kStart + kSecond));
}

// A limiter in any state that a random history can bring about.
struct Walk {
  Rng rng;
  RateLimiter limiter;
  Instant now = kStart;
  std::vector<RateLimiter::Reservation> open;
  std::int64_t largest;

  Walk(std::uint64_t seed, Rng setup)
      : rng(seed),
        limiter(limits(setup.below(4) == 0 ? 0 : setup.between(1, 1 << setup.between(1, 12)),
                       setup.below(4) == 0 ? 0 : setup.between(1, 1 << setup.between(1, 20)),
                       setup.below(2) == 0 ? 0 : setup.between(1, 8), setup.below(2) == 0),
                kStart),
        largest(std::int64_t{1} << setup.between(1, 21)) {}

  std::int64_t tokens() { return rng.between(0, largest >> rng.between(0, 20)); }

  void step() {
    switch (rng.below(8)) {
      case 0: now += rng.between(0, 2 * kSecond); break;
      case 1: now += rng.between(0, 1'000); break;
      case 2: limiter.try_acquire(rng.between(1, 3), now); break;
      case 3:
        if (!open.empty()) {
          limiter.settle(open.back(), tokens(), now);
          open.pop_back();
        }
        break;
      case 4:
        if (!open.empty() && rng.below(4) == 0) {
          limiter.refund(open.front(), now);
          open.erase(open.begin());
        }
        break;
      case 5:
        if (rng.below(20) == 0) limiter.pause_until(now + rng.between(0, kSecond));
        if (rng.below(4) == 0) limiter.observe(requests_left(rng.between(0, 50), rng.between(0, kSecond)), now);
        if (rng.below(4) == 0) limiter.observe(tokens_left(tokens(), rng.between(0, kSecond)), now);
        break;
      default:
        if (const auto reservation = limiter.reserve(tokens(), now)) open.push_back(*reservation);
    }
  }
};

TEST(RateLimiter, IsReadyExactlyWhenItSaysSo) {
  Rng seeds(9);
  int waited = 0;
  int never = 0;
  for (int round = 0; round < 1'000; ++round) {
    SCOPED_TRACE(round);
    Walk walk(seeds.next(), Rng(seeds.next()));
    for (int step = 0; step < 60; ++step) {
      walk.step();
      const std::int64_t tokens = walk.tokens();
      RateLimiter asked = walk.limiter;
      const Instant at = asked.ready_at(tokens, walk.now);
      ASSERT_GE(at, walk.now);
      if (at == kNever) {
        ++never;
        ASSERT_GT(asked.stats().in_flight, 0);
        RateLimiter late = walk.limiter;
        ASSERT_FALSE(late.reserve(tokens, walk.now + 1'000 * kHour));
        continue;
      }
      RateLimiter then = walk.limiter;
      ASSERT_TRUE(then.reserve(tokens, at));
      if (at > walk.now) {
        ++waited;
        RateLimiter before = walk.limiter;
        ASSERT_FALSE(before.reserve(tokens, at - 1));
      }

      const std::int64_t n = walk.rng.between(1, 5);
      RateLimiter alone = walk.limiter;
      const Duration wait = alone.time_until(n, walk.now);
      RateLimiter acquired = walk.limiter;
      ASSERT_TRUE(acquired.try_acquire(n, walk.now + wait));
      if (wait > 0) {
        RateLimiter before = walk.limiter;
        ASSERT_FALSE(before.try_acquire(n, walk.now + wait - 1));
      }
    }
  }
  EXPECT_GT(waited, 1'000);
  EXPECT_GT(never, 1'000);
}

// P4, by brute force over every pair of instants: what was admitted in a span and not given back fits capacity + refill
// x span.
TEST(RateLimiter, NeverAdmitsMoreThanItsBurstAndRate) {
  struct Event {
    Instant at;
    std::int64_t requests;
    std::int64_t tokens;
  };
  Rng rng(10);
  for (int round = 0; round < 120; ++round) {
    SCOPED_TRACE(round);
    const bool burst = round % 2 == 0;
    const std::int64_t requests = rng.between(1, 3'000);
    const std::int64_t tokens = rng.between(1, 1'000'000);
    const auto capacity = [burst](std::int64_t limit) {
      return burst ? limit : std::max<std::int64_t>(limit * 15 / 1000, 1);
    };
    const auto refill = [&](std::int64_t limit) {
      return burst ? limit : std::max<std::int64_t>(limit - capacity(limit), 1);
    };
    RateLimiter limiter(limits(requests, tokens, 0, burst), kStart);
    std::vector<Event> events;
    std::vector<RateLimiter::Reservation> open;
    Instant now = kStart;
    const Duration longest = rng.between(1, kMinute / 4);
    for (int step = 0; step < 250; ++step) {
      if (rng.below(3) == 0) now += rng.between(0, longest);
      if (rng.below(3) == 0 && !open.empty()) {
        const std::size_t i = static_cast<std::size_t>(rng.below(open.size()));
        (void)limiter.ready_at(0, now);  // so that the change below is the settlement's alone
        const RateLimiter::Stats before = limiter.stats();
        if (rng.below(2) == 0) {
          limiter.refund(open[i], now);
        } else {
          limiter.settle(open[i], rng.between(0, 2 * open[i].tokens), now);
        }
        open.erase(open.begin() + static_cast<std::ptrdiff_t>(i));
        const RateLimiter::Stats after = limiter.stats();
        events.push_back({now, std::min<std::int64_t>(before.available_requests - after.available_requests, 0),
                          std::min<std::int64_t>(before.available_tokens - after.available_tokens, 0)});
      } else if (rng.below(2) == 0) {
        const std::int64_t n = rng.between(0, capacity(tokens));
        if (const auto reservation = limiter.reserve(n, now)) {
          open.push_back(*reservation);
          events.push_back({now, 1, n});
        }
      } else {
        const std::int64_t n = rng.between(1, capacity(requests));
        if (limiter.try_acquire(n, now)) events.push_back({now, n, 0});
      }
    }
    for (std::size_t first = 0; first < events.size(); ++first) {
      Int128 admitted_requests = 0;
      Int128 admitted_tokens = 0;
      for (std::size_t last = first; last < events.size(); ++last) {
        admitted_requests += events[last].requests;
        admitted_tokens += events[last].tokens;
        const Int128 span = events[last].at - events[first].at;
        ASSERT_TRUE((admitted_requests - capacity(requests)) * kMinute <= refill(requests) * span);
        ASSERT_TRUE((admitted_tokens - capacity(tokens)) * kMinute <= refill(tokens) * span);
      }
    }
  }
}

// The server preset at full throttle: every call goes the very instant it may.
TEST(RateLimiter, NeverAdmitsMoreThanAServersLimitInAnyMinuteYetAlmostAllOfIt) {
  for (const std::int64_t limit : {50, 60, 100, 500, 3'000, 9'999}) {
    SCOPED_TRACE(limit);
    RateLimiter limiter(limits(limit, 0, 0, kServer), kStart);
    std::vector<Instant> admitted;
    constexpr std::int64_t kMinutes = 20;
    Instant now = kStart;
    for (;;) {
      now = limiter.ready_at(0, now);
      if (now >= kStart + kMinutes * kMinute) break;
      ASSERT_TRUE(limiter.reserve(0, now));
      admitted.push_back(now);
    }
    std::size_t first = 0;
    for (std::size_t last = 0; last < admitted.size(); ++last) {
      while (admitted[last] - admitted[first] > kMinute) ++first;
      ASSERT_LE(static_cast<std::int64_t>(last - first + 1), limit);
    }
    EXPECT_GE(static_cast<std::int64_t>(admitted.size()) * 100, limit * kMinutes * 98);
  }
}

TEST(RateLimiter, NeverAdmitsMoreTokensThanAServersLimitInAnyMinuteYetAlmostAllOfThem) {
  Rng rng(12);
  constexpr std::int64_t kLimit = 200'000;  // capacity 3,000
  RateLimiter limiter(limits(0, kLimit, 0, kServer), kStart);
  std::vector<std::pair<Instant, std::int64_t>> admitted;
  constexpr std::int64_t kMinutes = 20;
  Instant now = kStart;
  std::int64_t total = 0;
  for (;;) {
    const std::int64_t tokens = rng.between(1, 3'000);
    now = limiter.ready_at(tokens, now);
    if (now >= kStart + kMinutes * kMinute) break;
    ASSERT_TRUE(limiter.reserve(tokens, now));
    admitted.emplace_back(now, tokens);
    total += tokens;
  }
  std::size_t first = 0;
  std::int64_t within = 0;
  for (const auto& [at, tokens] : admitted) {
    within += tokens;
    while (at - admitted[first].first > kMinute) within -= admitted[first++].second;
    ASSERT_LE(within, kLimit);
  }
  EXPECT_GE(total * 100, kLimit * kMinutes * 98);
}

TEST(RateLimiter, KeepsItsRateThroughCallsLargerThanItsCapacity) {
  constexpr std::int64_t kLimit = 100'000;  // capacity 1,500, refill 98,500
  RateLimiter limiter(limits(0, kLimit, 0, kServer), kStart);
  std::int64_t total = 0;
  constexpr std::int64_t kMinutes = 50;
  for (Instant now = kStart;;) {
    now = limiter.ready_at(40'000, now);
    if (now >= kStart + kMinutes * kMinute) break;
    const auto call = limiter.reserve(40'000, now);
    ASSERT_TRUE(call);
    limiter.settle(*call, 40'000, now);
    total += 40'000;
  }
  EXPECT_LE(total, 98'500 * kMinutes + 40'000);
  EXPECT_GE(total, 98'500 * kMinutes - 40'000);
}

TEST(RateLimiter, AdmitsOnePerMinuteAtAServersLimitOfOne) {
  RateLimiter limiter(limits(1, 0, 0, kServer), kStart);
  EXPECT_TRUE(limiter.reserve(0, kStart));
  EXPECT_EQ(limiter.ready_at(0, kStart), kStart + kMinute);
}

TEST(RateLimiter, HashesEverythingThatDecides) {
  const RateLimiter base(limits(60, 6'000, 8), kStart);
  EXPECT_EQ(base.state_hash(), RateLimiter(limits(60, 6'000, 8), kStart).state_hash());
  std::vector<std::uint64_t> hashes = {base.state_hash()};
  const auto add = [&hashes](const RateLimiter& limiter) { hashes.push_back(limiter.state_hash()); };
  add(RateLimiter(limits(61, 6'000, 8), kStart));
  add(RateLimiter(limits(60, 6'001, 8), kStart));
  add(RateLimiter(limits(60, 6'000, 9), kStart));
  add(RateLimiter(limits(60, 6'000, 8, kServer), kStart));
  add(RateLimiter(limits(60, 6'000, 8), kStart + 1));
  add(RateLimiter(limits(60, 0, 8), kStart));
  const auto changed = [&](const auto& change) {
    RateLimiter limiter = base;
    change(limiter);
    add(limiter);
  };
  changed([](RateLimiter& l) { l.try_acquire(1, kStart); });
  changed([](RateLimiter& l) { l.try_acquire(2, kStart); });
  changed([](RateLimiter& l) { (void)l.reserve(0, kStart); });
  changed([](RateLimiter& l) { (void)l.reserve(1, kStart); });
  changed([](RateLimiter& l) { l.settle(*l.reserve(1, kStart), 1, kStart); });
  changed([](RateLimiter& l) { l.refund(*l.reserve(1, kStart), kStart); });
  changed([](RateLimiter& l) { l.pause_until(kStart + 1); });
  changed([](RateLimiter& l) { l.pause_until(kStart + 2); });
  changed([](RateLimiter& l) { l.observe(requests_left(5, 0), kStart); });
  changed([](RateLimiter& l) { l.observe(tokens_left(5, 0), kStart); });
  // The same figures but for a fraction of a token, and but for what an observation has counted already.
  changed([](RateLimiter& l) {
    l.try_acquire(1, kStart);
    EXPECT_EQ(l.ready_at(0, kStart + 7), kStart + 7);
  });
  changed([](RateLimiter& l) {
    EXPECT_EQ(l.ready_at(0, kStart + 6), kStart + 6);
    l.try_acquire(1, kStart + 6);
    EXPECT_EQ(l.ready_at(0, kStart + 7), kStart + 7);
  });
  changed([](RateLimiter& l) {
    (void)l.reserve(10, kStart);
    (void)l.reserve(10, kStart);
    l.observe(tokens_left(5'000, 0), kStart);
  });
  changed([](RateLimiter& l) {
    (void)l.reserve(10, kStart);
    l.observe(tokens_left(5'010, 0), kStart);
    (void)l.reserve(10, kStart);
  });
  RateLimiter open(limits(0), kStart);
  add(open);
  open.observe(requests_left(5, kSecond), kStart);
  add(open);
  open.observe(requests_left(5, 2 * kSecond), kStart);
  add(open);
  open.observe(requests_left(4, 2 * kSecond), kStart);
  add(open);
  std::sort(hashes.begin(), hashes.end());
  EXPECT_EQ(std::adjacent_find(hashes.begin(), hashes.end()), hashes.end());
}

TEST(RateLimiter, DoesNotHashWhatDecidesNothing) {
  RateLimiter a(limits(1), kStart);
  ASSERT_TRUE(a.try_acquire(1, kStart));
  RateLimiter b = a;
  EXPECT_FALSE(a.try_acquire(1, kStart));  // counted as denied
  EXPECT_EQ(a.state_hash(), b.state_hash());
  b.pause_until(kStart + kSecond);
  EXPECT_NE(a.state_hash(), b.state_hash());
  EXPECT_EQ(a.ready_at(0, kStart + kHour), b.ready_at(0, kStart + kHour));
  EXPECT_EQ(a.state_hash(), b.state_hash());  // the pause is over
}

}  // namespace
}  // namespace llmcore
