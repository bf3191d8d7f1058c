#include "llmcore/io/uuid7.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "llmcore/io/clock.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace llmcore::io {
namespace {

// Ids of a process ascend whatever the tests before took, so each test that needs the milliseconds it asks for starts
// at a later hour than any other.
WallTime fresh_hour() {
  static WallTime hour = now().wall / kMillisecond * kMillisecond;
  return hour += kHour;
}

std::string random_tail(const std::string& id) { return id.substr(20); }

int counter_of(const std::string& id) { return std::stoi(id.substr(15, 3), nullptr, 16); }

TEST(Uuid7, HasTheLayoutOfVersionSeven) {
  const WallTime wall = fresh_hour();
  for (int i = 0; i < 1000; ++i) {
    const std::string id = uuid7(wall + i * kMillisecond);
    ASSERT_EQ(id.size(), 36U);
    for (std::size_t at = 0; at < id.size(); ++at) {
      if (at == 8 || at == 13 || at == 18 || at == 23) {
        ASSERT_EQ(id[at], '-') << id;
      } else {
        ASSERT_NE(std::string("0123456789abcdef").find(id[at]), std::string::npos) << id;
      }
    }
    ASSERT_EQ(id[14], '7') << id;
    ASSERT_NE(std::string("89ab").find(id[19]), std::string::npos) << id;
  }
}

TEST(Uuid7, CarriesTheMillisecondsBigEndian) {
  const WallTime wall = fresh_hour();
  const std::string id = uuid7(wall + 999'999);
  EXPECT_EQ(uuid7_milliseconds(id), wall / kMillisecond);
  EXPECT_EQ(std::stoll(id.substr(0, 8) + id.substr(9, 4), nullptr, 16), wall / kMillisecond);
}

TEST(Uuid7, StartsTheCounterOfAMillisecondInItsLowerHalf) {
  const WallTime wall = fresh_hour();
  std::set<int> seen;
  for (int i = 0; i < 200; ++i) {
    const int counter = counter_of(uuid7(wall + i * kMillisecond));
    ASSERT_LT(counter, 2048);
    seen.insert(counter);
  }
  EXPECT_GT(seen.size(), 100U) << "the start is not random";
}

TEST(Uuid7, CountsUpWithinAMillisecond) {
  const WallTime wall = fresh_hour();
  const int first = counter_of(uuid7(wall));
  for (int i = 1; i <= 2000; ++i) {
    const std::string id = uuid7(wall);
    ASSERT_EQ(uuid7_milliseconds(id), wall / kMillisecond);
    ASSERT_EQ(counter_of(id), first + i);
  }
}

TEST(Uuid7, RunsIntoTheNextMillisecondWhenTheCounterIsFull) {
  const WallTime wall = fresh_hour();
  std::string last = uuid7(wall);
  for (int i = 0; i < 4096; ++i) {
    const std::string id = uuid7(wall);
    ASSERT_GT(id, last);
    last = id;
  }
  EXPECT_EQ(uuid7_milliseconds(last), wall / kMillisecond + 1);
}

TEST(Uuid7, AscendsWhenTheClockGoesBack) {
  const WallTime wall = fresh_hour();
  std::string last = uuid7(wall);
  for (const Duration back : {kMillisecond, kSecond, kHour, wall, wall + kHour}) {
    const std::string id = uuid7(wall - back);
    ASSERT_GT(id, last) << "back by " << back;
    ASSERT_EQ(uuid7_milliseconds(id), wall / kMillisecond);
    last = id;
  }
}

TEST(Uuid7, AMillionIdsAreUniqueAndAscend) {
  const WallTime wall = fresh_hour();
  std::vector<std::string> ids;
  std::vector<std::string> tails;
  constexpr std::size_t kMany = 1'000'000;
  ids.reserve(kMany);
  tails.reserve(kMany);
  for (std::size_t i = 0; i < kMany; ++i) {
    ids.push_back(uuid7(wall + static_cast<WallTime>(i) * kMicrosecond));
    tails.push_back(random_tail(ids.back()));
  }
  EXPECT_EQ(std::adjacent_find(ids.begin(), ids.end(), [](const auto& a, const auto& b) { return a >= b; }), ids.end());
  // 60 of the random bits: a chance of one in two million that two of them agree.
  std::sort(tails.begin(), tails.end());
  EXPECT_EQ(std::adjacent_find(tails.begin(), tails.end()), tails.end());
}

TEST(Uuid7, EveryRandomBitIsUsed) {
  const WallTime wall = fresh_hour();
  std::vector<int> ones(64, 0);
  constexpr int kDraws = 4000;
  for (int i = 0; i < kDraws; ++i) {
    const std::string id = uuid7(wall);
    const std::uint64_t low = std::stoull(id.substr(19, 4) + id.substr(24), nullptr, 16);
    for (std::size_t bit = 0; bit < 64; ++bit) ones[bit] += static_cast<int>((low >> bit) & 1U);
  }
  for (std::size_t bit = 0; bit < 62; ++bit) {
    EXPECT_GT(ones[bit], kDraws / 2 - 400) << "bit " << bit;
    EXPECT_LT(ones[bit], kDraws / 2 + 400) << "bit " << bit;
  }
  EXPECT_EQ(ones[62], 0);
  EXPECT_EQ(ones[63], kDraws);
}

TEST(Uuid7, ThreadsGetUniqueIdsThatAscendInEach) {
  constexpr std::size_t kThreads = 8;
  constexpr std::size_t kEach = 20'000;
  std::vector<std::vector<std::string>> ids(kThreads);
  std::vector<std::thread> threads;
  for (auto& mine : ids) {
    threads.emplace_back([&mine] {
      mine.reserve(kEach);
      for (std::size_t i = 0; i < kEach; ++i) mine.push_back(uuid7(now().wall));
    });
  }
  for (auto& thread : threads) thread.join();
  std::vector<std::string> all;
  for (const auto& mine : ids) {
    ASSERT_EQ(std::adjacent_find(mine.begin(), mine.end(), [](const auto& a, const auto& b) { return a >= b; }),
              mine.end());
    all.insert(all.end(), mine.begin(), mine.end());
  }
  std::sort(all.begin(), all.end());
  // By time and counter alone: the random bits must not be what tells them apart.
  EXPECT_EQ(std::adjacent_find(all.begin(), all.end(),
                               [](const auto& a, const auto& b) { return a.substr(0, 18) == b.substr(0, 18); }),
            all.end());
}

TEST(Uuid7, AnIdTakenAfterAnotherThreadsIsGreater) {
  std::mutex mutex;
  std::vector<std::string> in_order;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&mutex, &in_order] {
      for (int i = 0; i < 2000; ++i) {
        const std::lock_guard lock(mutex);
        in_order.push_back(uuid7(now().wall));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(in_order.size(), 16'000U);
  EXPECT_EQ(std::adjacent_find(in_order.begin(), in_order.end(), [](const auto& a, const auto& b) { return a >= b; }),
            in_order.end());
}

#if defined(__unix__) || defined(__APPLE__)
TEST(Uuid7, AForkedChildDrawsFreshRandomness) {
  const WallTime wall = fresh_hour();
  (void)uuid7(wall);  // leaves random words unused that the child must not use as well
  constexpr std::size_t kEach = 100;
  int ends[2] = {-1, -1};
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    close(ends[0]);
    std::string mine;
    for (std::size_t i = 0; i < kEach; ++i) mine += uuid7(wall);
    const bool written = write(ends[1], mine.data(), mine.size()) == static_cast<ssize_t>(mine.size());
    _exit(written ? 0 : 1);
  }
  close(ends[1]);
  std::set<std::string> tails;
  for (std::size_t i = 0; i < kEach; ++i) tails.insert(random_tail(uuid7(wall)));
  std::string theirs;
  std::array<char, 4096> chunk{};
  for (ssize_t got = 0; (got = read(ends[0], chunk.data(), chunk.size())) > 0;) {
    theirs.append(chunk.data(), static_cast<std::size_t>(got));
  }
  close(ends[0]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  ASSERT_EQ(theirs.size(), kEach * 36);
  for (std::size_t i = 0; i < kEach; ++i) tails.insert(random_tail(theirs.substr(i * 36, 36)));
  EXPECT_EQ(tails.size(), 2 * kEach);
}
#endif

TEST(Uuid7, ReadsTheMillisecondsOfAnyVersionSevenId) {
  // The example of RFC 9562, appendix A.6.
  EXPECT_EQ(uuid7_milliseconds("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"), 0x017F22E279B0);
  EXPECT_EQ(uuid7_milliseconds("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"), 0x017F22E279B0);
  EXPECT_EQ(uuid7_milliseconds("00000000-0000-7000-8000-000000000000"), 0);
  EXPECT_EQ(uuid7_milliseconds("ffffffff-ffff-7fff-bfff-ffffffffffff"), (std::int64_t{1} << 48) - 1);
}

TEST(Uuid7, RefusesWhatIsNoVersionSevenId) {
  for (const char* text : {
           "",
           "017f22e2",
           "017f22e279b07cc398c4dc0c0c07398f",
           "017f22e2-79b0-4cc3-98c4-dc0c0c07398f",   // version 4
           "017f22e2-79b0-7cc3-c8c4-dc0c0c07398f",   // another variant
           "017f22e2-79b0-7cc3-18c4-dc0c0c07398f",   // another variant
           "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",   // no digit
           "017f22e2_79b0-7cc3-98c4-dc0c0c07398f",   // no hyphen
           "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",  // too long
           "-17f22e2-79b0-7cc3-98c4-dc0c0c07398f",   // hyphen out of place
       }) {
    EXPECT_EQ(uuid7_milliseconds(text), -1) << text;
  }
}

TEST(Uuid7, TimesBeforeTheEpochCountAsTheEpoch) {
  const std::string id = uuid7(std::numeric_limits<WallTime>::min());
  EXPECT_GE(uuid7_milliseconds(id), 0);
  EXPECT_GT(uuid7(-1), id);
}

}  // namespace
}  // namespace llmcore::io
