// Entries of a spool: those in tests/data/spool, which Python wrote (test_spool_golden.py), and what a batch makes of several.
#include "llmcore/ledger_batch.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace llmcore {
namespace {

using Kind = LedgerEntryKind;

struct Kept {
  std::uint16_t kind = 0;
  std::string bytes;
};

std::map<std::string, Kept> kept_entries() {
  std::ifstream file("tests/data/spool/entries.jsonl");
  std::map<std::string, Kept> entries;
  for (std::string line; std::getline(file, line);) {
    const auto json = nlohmann::json::parse(line);
    const auto hex = json.at("hex").get<std::string>();
    Kept& kept = entries[json.at("name").get<std::string>()];
    kept.kind = json.at("kind").get<std::uint16_t>();
    for (std::size_t i = 0; i < hex.size(); i += 2) {
      kept.bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    }
  }
  return entries;
}

const Kept& kept(const std::string& name) {
  static const auto entries = kept_entries();
  return entries.at(name);
}

/// The entry with another id of the same length.
std::string of_call(const std::string& name, char last) {
  std::string bytes = kept(name).bytes;
  bytes[bytes.find("000000000001") + 11] = last;
  return bytes;
}

void add(LedgerBatch& batch, std::uint64_t number, const std::string& name, char call = '1') {
  ASSERT_TRUE(batch.add(number, kept(name).kind, of_call(name, call))) << name;
}

TEST(LedgerEntry, IsReadAsPythonWroteIt) {
  LedgerEntry entry;
  ASSERT_TRUE(entry.read(kept("begun").bytes));
  EXPECT_EQ(entry.id, "019c9b0e-5800-7000-8000-000000000001");
  EXPECT_EQ(entry.status, "pending");
  EXPECT_EQ(entry.tenant, "acme");
  EXPECT_EQ(entry.context[kUserId], "ada");
  EXPECT_EQ(entry.context[kCompanyId], "Größe & Söhne");
  EXPECT_EQ(entry.context[kTrackableType], "Game");
  EXPECT_EQ(entry.hand_number, 7);
  EXPECT_EQ(ledger_tags(entry.tags), R"(["a","with \"quotes\""])");
  EXPECT_EQ(entry.metadata, R"({"depth":3})");
  EXPECT_EQ(entry.reserved, 1'000'000);
  EXPECT_EQ(entry.temperature, 0.5);
  EXPECT_EQ(entry.max_tokens, 2800);
  EXPECT_FALSE(entry.cost);
  ASSERT_TRUE(entry.payload);
  EXPECT_EQ(entry.payload->policy, "full");
  EXPECT_EQ(entry.payload->texts[1], "hi");

  ASSERT_TRUE(entry.read(kept("ended").bytes));
  EXPECT_EQ(entry.context[kUserId], std::nullopt);
  EXPECT_TRUE(entry.tags.empty());
  EXPECT_EQ(entry.source, Source::provider);
  EXPECT_EQ(entry.cost, 123'456'789);
  EXPECT_EQ(entry.usage.input_tokens(), 125);
  EXPECT_TRUE(entry.usage.estimated);
  ASSERT_EQ(entry.attempts.size(), 2U);
  EXPECT_EQ(entry.attempts[0].outcome, Outcome::rate_limited);
  EXPECT_EQ(entry.attempts[0].retry_after, kSecond);
  EXPECT_EQ(entry.attempts[1].number, 2);
  EXPECT_EQ(entry.attempts[1].usage, entry.usage);
  EXPECT_EQ(entry.request_id, "req_1");
  EXPECT_EQ(entry.reported_cost, 5);

  ASSERT_TRUE(entry.read(kept("failed").bytes));
  EXPECT_TRUE(entry.attempts.empty());
  EXPECT_EQ(entry.outcome, Outcome::server_error);
  EXPECT_EQ(entry.error_message->size(), 3U * 2000U);  // so many snowmen
}

TEST(LedgerEntry, EveryCutIsRefused) {
  LedgerEntry entry;
  for (const char* name : {"begun", "ended", "failed", "note"}) {
    const std::string& bytes = kept(name).bytes;
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
      EXPECT_FALSE(entry.read(std::string_view(bytes).substr(0, cut)));
    }
    EXPECT_FALSE(entry.read(bytes + '\xc0'));
  }
}

TEST(LedgerTime, IsWrittenInUtc) {
  const auto text = [](WallTime wall) {
    const auto found = ledger_time(wall);
    return std::string(found.begin(), found.end());
  };
  EXPECT_EQ(text(0), "1970-01-01 00:00:00.000000");
  EXPECT_EQ(text(-1), "1969-12-31 23:59:59.999999");
  EXPECT_EQ(text(1'772'366'400 * kSecond + 1'999), "2026-03-01 12:00:00.000001");
  EXPECT_EQ(text(951'782'399 * kSecond), "2000-02-28 23:59:59.000000");
}

TEST(LedgerBatch, TheEndOfACallHasTheLastWordWhereverItStands) {
  for (const bool end_first : {false, true}) {
    LedgerBatch batch;
    add(batch, 1, end_first ? "failed" : "begun");
    add(batch, 2, end_first ? "begun" : "failed");
    EXPECT_EQ(batch.ends(), 1U);
    batch.choose(0);
    ASSERT_EQ(batch.calls(), 1U);
    LedgerEntry call;
    EXPECT_EQ(batch.read_call(0, call), Kind::close);
    EXPECT_EQ(call.status, "error");
  }
}

TEST(LedgerBatch, TextsOfTheBeginningStay) {
  LedgerBatch batch;
  add(batch, 1, "begun");
  add(batch, 2, "failed");
  batch.choose(0);
  LedgerEntry call;
  batch.read_call(0, call);
  ASSERT_TRUE(call.payload);
  EXPECT_EQ(call.payload->policy, "hash");
  EXPECT_EQ(call.payload->texts[1], "hi");                  // of the beginning
  EXPECT_EQ(call.payload->texts[5], std::string(64, '0'));  // of the end
}

TEST(LedgerBatch, WhatIsWrittenAlreadyIsLeftOut) {
  LedgerBatch batch;
  add(batch, 1, "begun", '1');
  add(batch, 2, "begun", '2');
  add(batch, 3, "failed", '3');
  batch.choose(2);
  ASSERT_EQ(batch.calls(), 1U);
  EXPECT_EQ(batch.id_of(0).back(), '3');
  batch.choose(0);
  EXPECT_EQ(batch.calls(), 3U);
  batch.choose(3);
  EXPECT_EQ(batch.calls(), 0U);
}

TEST(LedgerBatch, AnEntryThatComesLateStandsInItsPlace) {
  LedgerBatch batch;
  add(batch, 2, "failed");
  add(batch, 3, "failed", '2');
  add(batch, 1, "begun", '3');
  batch.choose(1);
  ASSERT_EQ(batch.calls(), 2U);
  EXPECT_EQ(batch.id_of(0).back(), '1');
  batch.choose(0);
  EXPECT_EQ(batch.id_of(0).back(), '3');
}

TEST(LedgerBatch, ANoteBecomesAPartOfItsCallAndOthersAreLeft) {
  LedgerBatch batch;
  add(batch, 1, "note");  // it may come first
  add(batch, 2, "ended");
  add(batch, 3, "note", '2');
  batch.choose(0);
  ASSERT_EQ(batch.calls(), 1U);
  ASSERT_EQ(batch.notes(), 1U);
  LedgerEntry call;
  batch.read_call(0, call);
  EXPECT_EQ(call.context[kTrackableType], "Assignment");
  EXPECT_EQ(call.context[kUserId], "ada");
  EXPECT_EQ(call.call_type, "quiz");
  batch.read_note(0, call);
  EXPECT_EQ(call.id.back(), '2');

  LedgerBatch named;
  add(named, 1, "begun");
  add(named, 2, "note");
  named.choose(0);
  named.read_call(0, call);
  EXPECT_EQ(call.context[kTrackableType], "Assignment");  // what it was for is what the note says
  EXPECT_EQ(call.call_type, "chat");                      // its type is what the call said
}

TEST(LedgerBatch, TakesNothingThatIsNoEntry) {
  LedgerBatch batch;
  EXPECT_FALSE(batch.add(1, 1, "no entry"));
  EXPECT_FALSE(batch.add(1, 9, kept("begun").bytes));
  EXPECT_FALSE(batch.add(1, 1, ""));
  EXPECT_EQ(batch.size(), 0U);
}

}  // namespace
}  // namespace llmcore
