#include "llmcore/outcome.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <limits>
#include <set>
#include <string_view>

namespace llmcore {
namespace {

TEST(Outcome, EveryOutcomeHasASnakeCaseNameOfItsOwn) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kOutcomeCount; ++i) {
    const std::string_view name = to_string(static_cast<Outcome>(i));
    EXPECT_FALSE(name.empty());
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string_view::npos) << name;
    EXPECT_TRUE(names.insert(name).second) << name << " names two outcomes";
  }
}

TEST(Outcome, NamesSayWhatTheEnumeratorsSay) {
  EXPECT_EQ(to_string(Outcome::ok), "ok");
  EXPECT_EQ(to_string(Outcome::rate_limited), "rate_limited");
  EXPECT_EQ(to_string(Outcome::content_filter), "content_filter");
  EXPECT_EQ(to_string(Outcome::queue_timeout), "queue_timeout");
  EXPECT_EQ(to_string(Outcome::exhausted), "exhausted");
}

TEST(Outcome, TheCountIsThatOfTheEnumeration) {
  EXPECT_EQ(static_cast<std::size_t>(Outcome::exhausted) + 1, kOutcomeCount);
}

TEST(Outcome, AValueFromOutsideTheEnumerationStillHasAName) {
  EXPECT_EQ(to_string(static_cast<Outcome>(200)), "server_error");
}

TEST(OutcomeOfStatus, EverySuccessStatusIsOkAndNothingElseIs) {
  for (int status = -100; status < 1000; ++status) {
    EXPECT_EQ(outcome_of_status(status) == Outcome::ok, status >= 200 && status <= 299) << status;
  }
}

TEST(OutcomeOfStatus, StatusesWithAMeaningOfTheirOwn) {
  EXPECT_EQ(outcome_of_status(400), Outcome::bad_request);
  EXPECT_EQ(outcome_of_status(401), Outcome::auth);
  EXPECT_EQ(outcome_of_status(402), Outcome::quota_exhausted);
  EXPECT_EQ(outcome_of_status(403), Outcome::auth);
  EXPECT_EQ(outcome_of_status(404), Outcome::not_found);
  EXPECT_EQ(outcome_of_status(408), Outcome::timeout);
  EXPECT_EQ(outcome_of_status(409), Outcome::server_error);
  EXPECT_EQ(outcome_of_status(413), Outcome::bad_request);
  EXPECT_EQ(outcome_of_status(422), Outcome::bad_request);
  EXPECT_EQ(outcome_of_status(429), Outcome::rate_limited);
  EXPECT_EQ(outcome_of_status(500), Outcome::server_error);
  EXPECT_EQ(outcome_of_status(502), Outcome::server_error);
  EXPECT_EQ(outcome_of_status(503), Outcome::overloaded);
  EXPECT_EQ(outcome_of_status(504), Outcome::server_error);
  EXPECT_EQ(outcome_of_status(529), Outcome::overloaded);
  EXPECT_EQ(outcome_of_status(599), Outcome::server_error);
}

TEST(OutcomeOfStatus, EveryOtherClientErrorIsABadRequest) {
  const std::set<int> named{401, 402, 403, 404, 408, 409, 429};
  for (int status = 400; status < 500; ++status) {
    if (named.count(status) != 0) continue;
    EXPECT_EQ(outcome_of_status(status), Outcome::bad_request) << status;
  }
}

TEST(OutcomeOfStatus, WhatIsNoFinalAnswerIsAServerError) {
  for (const int status : {100, 101, 199, 300, 301, 304, 399, 600, 999, 0, -1, std::numeric_limits<int>::min(),
                           std::numeric_limits<int>::max()}) {
    EXPECT_EQ(outcome_of_status(status), Outcome::server_error) << status;
  }
}

}  // namespace
}  // namespace llmcore
