#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "llmcore/ledger_entry.hpp"

namespace llmcore {
namespace {

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

// Fields of an entry that nobody said come back as absent, so what is written again is equal from the second time on.
TEST(LedgerEntryWriting, WhatOthersWroteIsWrittenSoThatItReadsTheSame) {
  std::ifstream file("tests/data/spool/entries.jsonl");
  std::size_t entries = 0;
  for (std::string line; std::getline(file, line);) {
    const auto golden = nlohmann::json::parse(line);
    if (!golden.contains("hex")) continue;
    const std::string bytes = from_hex(golden["hex"]);
    LedgerEntry entry;
    if (!entry.read(bytes)) continue;
    std::string written;
    entry.append_to(written);
    LedgerEntry again;
    ASSERT_TRUE(again.read(written)) << golden["name"];
    std::string twice;
    again.append_to(twice);
    EXPECT_EQ(written, twice);
    EXPECT_EQ(again.id, entry.id);
    EXPECT_EQ(again.usage, entry.usage);
    EXPECT_EQ(again.cost, entry.cost);
    EXPECT_EQ(again.context, entry.context);
    EXPECT_EQ(again.tags, entry.tags);
    EXPECT_EQ(again.attempts.size(), entry.attempts.size());
    EXPECT_EQ(again.temperature, entry.temperature);
    EXPECT_EQ(again.metadata, entry.metadata);
    EXPECT_EQ(again.payload.has_value(), entry.payload.has_value());
    if (entry.payload) {
      EXPECT_EQ(again.payload->texts, entry.payload->texts);
    }
    ++entries;
  }
  EXPECT_GT(entries, 2U);
}

TEST(LedgerEntryWriting, EveryLengthAndNumberComesBack) {
  for (const std::size_t size : {0U, 31U, 32U, 255U, 256U, 65'535U, 65'536U}) {
    for (const std::int64_t number : {std::int64_t{0},
                                      std::int64_t{127},
                                      std::int64_t{128},
                                      std::int64_t{255},
                                      std::int64_t{256},
                                      std::int64_t{65'535},
                                      std::int64_t{65'536},
                                      std::int64_t{4'294'967'295},
                                      std::int64_t{4'294'967'296},
                                      std::numeric_limits<std::int64_t>::max(),
                                      std::int64_t{-1},
                                      std::int64_t{-32},
                                      std::int64_t{-33},
                                      std::int64_t{-128},
                                      std::int64_t{-129},
                                      std::int64_t{-32'768},
                                      std::int64_t{-32'769},
                                      std::int64_t{-2'147'483'648},
                                      std::int64_t{-2'147'483'649},
                                      std::numeric_limits<std::int64_t>::min()}) {
      const std::string text(size, 'x');
      LedgerEntry entry;
      entry.id = "id";
      entry.status = "success";
      entry.provider = "p";
      entry.model = text;
      entry.saved = number;
      entry.tags.assign(20, "tag");
      entry.context[kUserId] = text;
      entry.attempts.resize(17);
      std::string bytes;
      entry.append_to(bytes);
      LedgerEntry again;
      ASSERT_TRUE(again.read(bytes)) << size << " " << number;
      EXPECT_EQ(again.model, text);
      EXPECT_EQ(again.saved, number);
      EXPECT_EQ(again.context[kUserId], text);
      EXPECT_EQ(again.tags.size(), 20U);
      EXPECT_EQ(again.attempts.size(), 17U);
    }
  }
}

}  // namespace
}  // namespace llmcore
