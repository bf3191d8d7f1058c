// What the client writes down: read back here, and brought into a database by tests/py/cli/test_ledger_import.py from the
// copy in tests/data/game_spool, which is written anew when LLMCORE_WRITE_GAME_SPOOL names a directory.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "llmcore/io/journal.hpp"
#include "llmcore/ledger_entry.hpp"
#include "scripted.hpp"

namespace llmcore::net {
namespace {

class ClientLedger : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* const wanted = std::getenv("LLMCORE_WRITE_GAME_SPOOL");
    directory_ = wanted != nullptr
                     ? wanted
                     : std::filesystem::temp_directory_path() / ("llmcore_spool_" + std::to_string(::getpid()));
    keep_ = wanted != nullptr;
    std::filesystem::remove_all(directory_);
  }
  void TearDown() override {
    if (!keep_) std::filesystem::remove_all(directory_);
  }

  Client::Config config() const {
    Client::Config config;
    config.engine.recovery.max_attempts = 1;
    config.engine.budgets.push_back(BudgetRule{"player=bob", Period::day, 1, {}});
    auto card = std::make_shared<PriceCard>();
    card->base.input = 3 * 1'000'000'000LL;
    card->base.output = 10 * 1'000'000'000LL;
    config.prices["p1/m1"] = card;
    config.ledger = directory_;
    config.ledger_texts = true;
    return config;
  }

  static Client::Request from(const char* player, const char* text) {
    Client::Request request = Stage::say(text);
    request.call_type = "dialogue";
    request.context.player_name = player;
    request.context.game_id = "village";
    request.context.tags = {"test"};
    return request;
  }

  struct Written {
    std::uint16_t kind = 0;
    std::string bytes;
  };
  std::vector<Written> written() const {
    std::vector<Written> all;
    io::JournalReaderConfig config;
    config.directory = directory_;
    auto reader = io::JournalReader::open(config);
    if (!reader) return all;
    while ((*reader)->next() == io::JournalReader::Next::record) {
      all.push_back({(*reader)->record().kind, std::string((*reader)->record().payload)});
    }
    EXPECT_EQ((*reader)->problem_count(), 0U);
    return all;
  }

  std::string directory_;
  bool keep_ = false;
};

TEST_F(ClientLedger, EveryCallIsWrittenAsItIsSentAndAsItEnds) {
  {
    Stage stage(config());
    stage.clock.set(Now{0, 1'772'000'000 * kSecond});
    const auto next = [&] { stage.clock.advance(kSecond); };
    const auto open = [&] { return stage.transport->open().back().transfer; };
    stage.client->submit(from("ann", "Hello?"));
    stage.look();
    stage.clock.advance(250 * kMillisecond);
    stage.transport->answer(open(), "10 20\nGood day.");
    stage.look();
    next();
    stage.client->submit(from("ann", "Hello?"));  // from the cache
    stage.look();
    next();
    stage.client->submit(from("ann", "Anybody?"));
    stage.look();
    stage.transport->fail(open(), "server_error");  // the templates answer
    stage.look();
    next();
    Client::Request refused = from("bob", "Me?");
    refused.chain = {{"p1", "m1"}};
    stage.client->submit(std::move(refused));  // over his budget, so the templates answer him too
    stage.look();
    next();
    const CallId given_up = stage.client->submit(from("ann", "Never mind."));
    stage.look();
    stage.client->cancel(given_up);
    stage.look();
    next();
    stage.client->submit(from("ann", "And then the power went."));
    stage.look();
    EXPECT_EQ(stage.client->stats().unwritten, 0);
    const std::vector<Written> before = written();
    ASSERT_FALSE(before.empty());
    EXPECT_EQ(before.back().kind, static_cast<std::uint16_t>(LedgerEntryKind::open));
    if (keep_) std::filesystem::copy(directory_, directory_ + ".cut", std::filesystem::copy_options::recursive);
  }
  std::map<std::string, int> statuses;
  for (const Written& one : written()) {
    LedgerEntry entry;
    ASSERT_TRUE(entry.read(one.bytes));
    ++statuses[std::string(entry.status)];
    EXPECT_EQ(entry.context[6], "village");
    if (entry.status == "success") {
      EXPECT_EQ(entry.cost, 230'000);
      EXPECT_EQ(entry.latency, 250 * kMillisecond);
      EXPECT_EQ(entry.attempts.size(), 1U);
      EXPECT_EQ(entry.payload->texts[3], "Good day.");
      EXPECT_EQ(entry.payload->texts[1], "Hello?");
    }
  }
  EXPECT_EQ(statuses, (std::map<std::string, int>{
                          {"pending", 4}, {"success", 1}, {"cached", 1}, {"fallback", 2}, {"cancelled", 2}}));
}

TEST_F(ClientLedger, ADirectoryThatCannotBeWrittenDelaysNothingAndIsCounted) {
  Client::Config unwritable = config();
  unwritable.ledger = "/dev/null/spool";
  Stage stage(std::move(unwritable));
  stage.client->submit(from("ann", "Hello?"));
  stage.look();
  stage.transport->answer(stage.transport->open().at(0).transfer, "1 2\nhm");
  const auto seen = stage.look();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].event.kind, Client::Event::Kind::finished);
  EXPECT_EQ(stage.client->stats().unwritten, 2);
}

}  // namespace
}  // namespace llmcore::net
