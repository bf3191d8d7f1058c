// The ninth of the game's ten suites: the same again. tests/cpp/net/session_test.cpp has the whole of it.
#include <unistd.h>

#include <filesystem>

#include "llmcore/net/session.hpp"
#include "stage.hpp"

namespace llmcore::game {
namespace {

class GameDeterministicReplay : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = (std::filesystem::temp_directory_path() / ("llmcore_game_replay_" + std::to_string(::getpid()))).string();
    std::filesystem::remove_all(folder_);
    Client::Config config;
    config.worker_thread = false;
    std::string problem;
    auto session = Session::record(std::move(config), folder_, 7, problem);
    ASSERT_TRUE(session) << problem;
    play(*session, "Hello?", 6);
    ASSERT_TRUE(session->close(kSecond)) << session->problem();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::int64_t play(Session& session, const char* text, std::uint64_t sides) {
    Client::Events events;
    for (std::int64_t tick = 0; tick < 10; ++tick) {
      session.frame(tick);
      gold_ += static_cast<std::int64_t>(session.below("loot", sides));
      if (tick == 3) session.submit(Stage::say(text));
      session.pump();
      session.poll(events);
      for (const Client::Event& event : events) gold_ += static_cast<std::int64_t>(event.text.size());
      session.snapshot("purse", std::to_string(gold_));
    }
    return std::exchange(gold_, 0);
  }

  std::unique_ptr<Session> replayed() {
    std::string problem;
    auto session = Session::replay(folder_, problem);
    EXPECT_TRUE(session) << problem;
    return session;
  }

  std::string folder_;
  std::int64_t gold_ = 0;
};

TEST_F(GameDeterministicReplay, GivesTheSameWorld) {
  const auto session = replayed();
  const std::int64_t gold = play(*session, "Hello?", 6);
  EXPECT_GT(gold, 0);
  EXPECT_FALSE(session->divergence());
  EXPECT_EQ(play(*replayed(), "Hello?", 6), gold);
}

TEST_F(GameDeterministicReplay, NamesTheTickAndTheFieldOfAChange) {
  const auto session = replayed();
  play(*session, "Hullo?", 6);
  ASSERT_TRUE(session->divergence());
  EXPECT_EQ(session->divergence()->tick, 3);
  EXPECT_EQ(session->divergence()->field, "submit.messages[0].content");
}

TEST_F(GameDeterministicReplay, NoticesOtherDice) {
  const auto session = replayed();
  play(*session, "Hello?", 20);
  ASSERT_TRUE(session->divergence());
  EXPECT_EQ(session->divergence()->field, "bound");
}

TEST_F(GameDeterministicReplay, GoesOnAfterADivergence) {
  const auto session = replayed();
  EXPECT_GT(play(*session, "Hullo?", 6), 0);
  EXPECT_FALSE(session->frame(10));  // to its end
}

TEST_F(GameDeterministicReplay, RunsTheEngineAgainToTheSameStates) {
  auto reader = io::RecordingReader::open(folder_);
  ASSERT_TRUE(reader);
  const io::ReplayReport report = io::replay(**reader);
  EXPECT_TRUE(report.ok() && report.complete) << report.problem;
}

}  // namespace
}  // namespace llmcore::game
