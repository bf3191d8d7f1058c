// The tenth of the game's ten suites: what nobody means to happen.
#include "stage.hpp"

namespace llmcore::game {
namespace {

TEST(GameEdgeCases, AnEmptyAnswerIsAnAnswer) {
  Stage stage(plain());
  ask(stage, "q");
  const auto seen = answer(stage, "1 0\n");
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.kind, Kind::finished);
  EXPECT_TRUE(seen[0].text.empty());
}

TEST(GameEdgeCases, AQuestionOfAMegabyteAndAnAnswerOfTen) {
  Stage stage(plain());
  ask(stage, Stage::say(std::string(1'000'000, 'q')));
  const auto seen = answer(stage, "1 1\n" + std::string(10'000'000, 'a'));
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].text.size(), 10'000'000U);
}

TEST(GameEdgeCases, BytesThatAreNoTextPassThrough) {
  Stage stage(plain());
  ask(stage, Stage::say(std::string("\xFF\xFE\0zero", 7)));
  EXPECT_EQ(answer(stage, std::string("1 1\n\xC3\x28")).at(0).text, "\xC3\x28");
}

TEST(GameEdgeCases, CancellingWhatIsOverOrNeverWasDoesNothing) {
  Stage stage(plain());
  ask(stage, "q");
  answer(stage, "1 1\nA.");
  for (const CallId call : {CallId{0}, CallId{1}, CallId{99}}) stage.client->cancel(call);
  EXPECT_TRUE(stage.look().empty());
}

TEST(GameEdgeCases, ACallIsCancelledInTheFrameItWasSubmittedIn) {
  Stage stage(plain());
  stage.client->cancel(stage.client->submit(Stage::say("q")));
  const auto seen = stage.look();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.outcome, Outcome::cancelled);
}

TEST(GameEdgeCases, AClockThatGoesBackHurtsNobody) {
  Stage stage(plain());
  stage.clock.set(Now{100 * kSecond, 100 * kSecond});
  ask(stage, "q");
  stage.clock.set(Now{50 * kSecond, 50 * kSecond});
  EXPECT_EQ(answer(stage, "1 1\nA.").size(), 1U);
}

TEST(GameEdgeCases, ADeadlineEndsACallWhateverItWaitsFor) {
  Client::Config config = plain();
  config.offline_fallback = false;
  Stage stage(std::move(config));
  Client::Request request = Stage::say("q");
  request.deadline = 2 * kSecond;
  ask(stage, std::move(request));
  const auto seen = wait(stage, 2 * kSecond);
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.outcome, Outcome::timeout);
  EXPECT_TRUE(stage.transport->open().empty());
}

TEST(GameEdgeCases, AProviderThatNobodyGaveIsSaid) {
  Stage stage(plain());
  Client::Request request = Stage::say("q");
  request.chain = {{"nobody", "m"}};
  const auto seen = ask(stage, std::move(request));
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.outcome, Outcome::not_found);
  EXPECT_EQ(stage.client->stats().live, 0);
}

}  // namespace
}  // namespace llmcore::game
