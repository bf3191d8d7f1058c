// A play session, recorded and played again: a village whose people speak lines from a model and trade by the roll of dice.
#include "llmcore/net/session.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "llmcore/io/replay.hpp"
#include "scripted.hpp"

namespace llmcore::net {
namespace {

using Kind = Client::Event::Kind;

/// What somebody changes in the game between two runs.
struct Change {
  std::string question = "What is new?";
  std::int64_t gold_per_word = 1;
  std::uint64_t dice = 6;
  bool forgets_to_ask = false;
};

/// The game. It knows nothing of recordings.
class Village {
 public:
  explicit Village(Session& session, Change change = {}) : session_(session), change_(std::move(change)) {}

  void tick(std::int64_t tick) {
    if (session_.below("dice", change_.dice) == 0 && !(change_.forgets_to_ask && tick > 20)) {
      Client::Request request;
      request.messages.push_back(
          {Client::Role::user, change_.question + " It is tick " + std::to_string(tick) + ".", {}, {}});
      request.context.player_name = "ann";
      asked_.push_back(session_.submit(std::move(request)));
      if (asked_.size() % 5 == 0) session_.cancel(asked_.back());
    }
    session_.poll(events_);
    for (const Client::Event& event : events_) {
      if (event.kind == Kind::token) {
        gold_ += change_.gold_per_word * static_cast<std::int64_t>(event.text.size());
        lines_[event.call] += event.text;
      } else {
        ++(event.kind == Kind::finished ? answered_ : failed_);
        mood_ += session_.between("mood", -3, 3);
      }
    }
    session_.snapshot("world", state(), true);
  }

  [[nodiscard]] std::string state() const {
    nlohmann::json json{
        {"gold", gold_}, {"mood", mood_}, {"answered", answered_}, {"failed", failed_}, {"asked", asked_}};
    json["lines"] = nlohmann::json::array();
    for (const auto& [call, line] : lines_) json["lines"].push_back(line);
    return json.dump();
  }
  /// As from a save file.
  void load(const Village& saved) {
    gold_ = saved.gold_;
    mood_ = saved.mood_;
    answered_ = saved.answered_;
    failed_ = saved.failed_;
    asked_ = saved.asked_;
    lines_ = saved.lines_;
  }

 private:
  Session& session_;
  Change change_;
  Client::Events events_;
  std::int64_t gold_ = 0;
  std::int64_t mood_ = 0;
  int answered_ = 0;
  int failed_ = 0;
  std::vector<CallId> asked_;
  std::map<CallId, std::string> lines_;
};

class SessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = (std::filesystem::temp_directory_path() / ("llmcore_session_" + std::to_string(::getpid()))).string();
    std::filesystem::remove_all(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string at(const char* name) const { return folder_ + "/" + name; }

  /// A model that speaks in pieces, and now and then breaks off or refuses.
  Client::Config config(bool worker) {
    auto transport = std::make_shared<ScriptedTransport>();
    auto asked = std::make_shared<int>(0);
    transport->answers = [asked](ScriptedTransport& self, const ScriptedTransport::Open& open) {
      const int number = (*asked)++;
      if (number % 4 == 3) return self.fail(open.transfer, "bad_request");
      self.head(open.transfer, 200, {{"x-request-id", "r-" + std::to_string(number)}});
      self.data(open.transfer, "7 9\nThe mill, ");
      self.data(open.transfer, "they say, is haunted again.");
      if (number % 7 == 5) return self.done(open.transfer, TransportError{Outcome::connection, "p1.test: reset"});
      self.data(open.transfer, "[end]");
      self.done(open.transfer);
    };
    Client::Config config;
    config.engine = llmcore::Config::server();
    config.transport = std::move(transport);
    config.providers = {std::make_shared<ScriptedProvider>("p1")};
    config.chain = {{"p1", "m1"}};
    config.worker_thread = worker;
    if (!worker) config.clock = clock_;
    return config;
  }

  /// Plays `ticks` frames and gives the world after each.
  std::vector<std::string> play(Session& session, std::int64_t from, std::int64_t to, Village& village,
                                const std::function<void(std::int64_t)>& between = {}) {
    std::vector<std::string> worlds;
    for (std::int64_t tick = from; tick < to; ++tick) {
      if (!session.frame(tick)) break;
      village.tick(tick);
      worlds.push_back(village.state());
      if (between) between(tick);
      clock_.advance(16 * kMillisecond);
      session.pump();
    }
    return worlds;
  }

  std::vector<std::string> record(const char* name, Change change = {}, bool worker = false) {
    std::string problem;
    auto session = Session::record(config(worker), at(name), 42, problem);
    EXPECT_TRUE(session) << problem;
    Village village(*session, std::move(change));
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    auto worlds = play(*session, 0, 60, village, [&](std::int64_t tick) {
      if (worker) std::this_thread::sleep_for(std::chrono::microseconds(300));
      // However busy the machine is: by now something was answered.
      while (worker && tick == 40 && session->client()->stats().output_tokens == 0) {
        if (std::chrono::steady_clock::now() > until) break;
        std::this_thread::yield();
      }
    });
    EXPECT_TRUE(session->close(kSecond)) << session->problem();
    return worlds;
  }

  std::optional<io::Divergence> replay(const char* name, Change change, std::vector<std::string>* worlds = nullptr) {
    std::string problem;
    auto session = Session::replay(at(name), problem);
    EXPECT_TRUE(session) << problem;
    EXPECT_TRUE(session->replaying());
    EXPECT_EQ(session->client(), nullptr);
    Village village(*session, std::move(change));
    auto seen = play(*session, 0, 60, village);
    if (worlds != nullptr) *worlds = std::move(seen);
    return session->divergence();
  }

  std::string folder_;
  io::ManualClock clock_{Now{kSecond, 1'772'000'000 * kSecond}};
};

TEST_F(SessionTest, TheSameWorldAtEveryTickWithoutANetwork) {
  for (const bool worker : {false, true}) {
    const char* name = worker ? "worker" : "pump";
    const auto worlds = record(name, {}, worker);
    ASSERT_EQ(worlds.size(), 60U);
    EXPECT_NE(worlds.back().find("haunted"), std::string::npos);
    std::vector<std::string> again;
    const auto divergence = replay(name, {}, &again);
    EXPECT_FALSE(divergence) << divergence->message();
    EXPECT_EQ(again, worlds);
  }
}

TEST_F(SessionTest, TheEngineOfARecordedSessionRunsAgain) {
  record("run");
  auto reader = io::RecordingReader::open(at("run"));
  ASSERT_TRUE(reader);
  const io::ReplayReport report = io::replay(**reader);
  EXPECT_TRUE(report.ok()) << report.problem;
  EXPECT_TRUE(report.complete);
  EXPECT_GT(report.inputs, 10U);
}

TEST_F(SessionTest, AnotherQuestionIsTheFirstDivergence) {
  record("run");
  Change change;
  change.question = "What is old?";
  const auto divergence = replay("run", change);
  ASSERT_TRUE(divergence);
  EXPECT_EQ(divergence->field, "submit.messages[0].content");
  EXPECT_EQ(divergence->expected.substr(0, 12), "What is new?");
  EXPECT_EQ(divergence->got.substr(0, 12), "What is old?");
  EXPECT_GT(divergence->event, 0U);
}

TEST_F(SessionTest, AnotherRuleShowsInTheFieldOfTheWorldThatItChanged) {
  record("run");
  Change change;
  change.gold_per_word = 2;
  const auto divergence = replay("run", change);
  ASSERT_TRUE(divergence);
  EXPECT_EQ(divergence->field, "world.gold");
  EXPECT_EQ(2 * std::stoll(divergence->expected), std::stoll(divergence->got));
}

TEST_F(SessionTest, OtherDiceAndACallThatIsNotMadeAreNamed) {
  record("run");
  Change dice;
  dice.dice = 8;
  auto divergence = replay("run", dice);
  ASSERT_TRUE(divergence);
  EXPECT_EQ(divergence->tick, 0);
  EXPECT_EQ(divergence->field, "bound");
  EXPECT_EQ(divergence->expected, "6");
  EXPECT_EQ(divergence->got, "8");
  Change silent;
  silent.forgets_to_ask = true;
  divergence = replay("run", silent);
  ASSERT_TRUE(divergence);
  EXPECT_GT(divergence->tick, 20);
  EXPECT_EQ(divergence->field, "event");
  EXPECT_EQ(divergence->expected, "snapshot llm.submit");
  EXPECT_EQ(divergence->got, "snapshot llm.poll");
}

TEST_F(SessionTest, SavedAndLoadedInTheMiddleItGoesOnTheSame) {
  std::string problem;
  auto session = Session::record(config(false), at("first"), 42, problem);
  ASSERT_TRUE(session) << problem;
  Village village(*session);
  play(*session, 0, 30, village);
  const std::string luck = session->save();
  Village saved(*session);
  saved.load(village);
  const auto rest = play(*session, 30, 60, village);
  ASSERT_TRUE(session->close(kSecond));

  // The recording from the middle on, with the world of the save file.
  auto replayed = Session::replay(at("first"), problem, 30);
  ASSERT_TRUE(replayed) << problem;
  Village loaded(*replayed);
  loaded.load(saved);
  EXPECT_EQ(play(*replayed, 30, 60, loaded), rest);
  EXPECT_FALSE(replayed->divergence()) << replayed->divergence()->message();

  // A session of its own that goes on from the save file has the luck that the first one had.
  auto second = Session::record(config(false), at("second"), 1, problem);
  ASSERT_TRUE(second) << problem;
  EXPECT_NE(second->load(luck.substr(1)), nullptr);
  std::string damaged = luck;
  damaged[10] ^= 1;
  EXPECT_STREQ(second->load(damaged), "the saved session is damaged");
  ASSERT_EQ(second->load(luck), nullptr);
  std::string same;
  auto control = Session::live(config(false), 1, same);
  ASSERT_EQ(control->load(luck), nullptr);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(second->next("any"), control->next("any"));
  EXPECT_TRUE(second->close(kSecond));
}

TEST_F(SessionTest, NoKeyIsInARecording) {
  record("run");
  for (const auto& file : std::filesystem::directory_iterator(at("run"))) {
    std::ifstream stream(file.path(), std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(stream), {});
    EXPECT_EQ(bytes.find("sk-secret"), std::string::npos) << file.path();
  }
}

TEST_F(SessionTest, WhatAProcessThatWasKilledCouldNotRecordIsNoDivergence) {
  const auto worlds = record("cut");
  const std::string file = at("cut") + "/00000000000000000001.journal";
  for (const int percent : {30, 31, 32, 33, 60, 90, 99}) {
    std::filesystem::copy_file(file, file + ".whole", std::filesystem::copy_options::overwrite_existing);
    const auto whole = std::filesystem::file_size(file);
    std::filesystem::resize_file(file, whole * static_cast<std::uintmax_t>(percent) / 100);
    std::string problem;
    auto session = Session::replay(at("cut"), problem);
    ASSERT_TRUE(session) << problem;
    Village village(*session);
    const auto seen = play(*session, 0, 60, village);
    EXPECT_FALSE(session->divergence()) << percent << ": " << session->divergence()->message();
    ASSERT_GT(seen.size(), 1U);
    EXPECT_TRUE(std::equal(seen.begin(), seen.end() - 1, worlds.begin()));
    if (!session->problem().empty()) {
      EXPECT_NE(session->problem().find("the recording was cut in tick"), std::string::npos) << session->problem();
    }
    session.reset();
    std::filesystem::rename(file + ".whole", file);
  }
}

TEST_F(SessionTest, TheCacheGoesIntoASaveFileInTheMiddleAndCallsKeepTheirNames) {
  std::vector<CallId> asked[2];
  std::vector<CallId> told[2];
  for (const int again : {0, 1}) {
    std::string problem;
    auto session =
        again != 0 ? Session::replay(at("saves"), problem) : Session::record(config(false), at("saves"), 1, problem);
    ASSERT_TRUE(session) << problem;
    Client::Events events;
    for (std::int64_t tick = 0; tick < 6; ++tick) {
      ASSERT_TRUE(session->frame(tick));
      if (tick == 1 && session->client() != nullptr) session->client()->save_cache();
      if (tick == 0 || tick == 2) {
        Client::Request request;
        request.messages.push_back({Client::Role::user, std::to_string(tick), {}, {}});
        asked[again].push_back(session->submit(std::move(request)));
      }
      session->poll(events);
      for (const Client::Event& event : events) {
        if (event.kind == Kind::finished) told[again].push_back(event.call);
      }
      session->pump();
    }
    EXPECT_TRUE(session->close(kSecond)) << session->problem();
    EXPECT_FALSE(session->divergence());
  }
  EXPECT_EQ(asked[0], told[0]);
  EXPECT_EQ(asked[1], asked[0]);
  EXPECT_EQ(told[1], told[0]);
}

TEST_F(SessionTest, WhatIsNoRecordingIsSaid) {
  std::string problem;
  EXPECT_EQ(Session::replay(at("nothing"), problem), nullptr);
  EXPECT_FALSE(problem.empty());
  record("run");
  EXPECT_EQ(Session::record(config(false), at("run"), 1, problem), nullptr);
  EXPECT_NE(problem.find("holds a recording already"), std::string::npos) << problem;
}

// Written once, by whatever build; LLMCORE_WRITE_SESSION=tests/data/session writes it anew.
TEST_F(SessionTest, ASessionOfAnotherBuildIsTheSameWorldHere) {
  if (const char* const wanted = std::getenv("LLMCORE_WRITE_SESSION")) {
    folder_ = std::filesystem::path(wanted).parent_path().string();
    record(std::filesystem::path(wanted).filename().c_str());
    folder_ = at("nothing");
    return;
  }
  std::string problem;
  auto session = Session::replay("tests/data/session", problem);
  ASSERT_TRUE(session) << problem;
  Village village(*session);
  const auto worlds = play(*session, 0, 60, village);
  EXPECT_FALSE(session->divergence()) << session->divergence()->message();
  ASSERT_EQ(worlds.size(), 60U);
  EXPECT_EQ(hash_of_state(worlds.back()).value, 6846258763832468604U);
}

}  // namespace
}  // namespace llmcore::net
