#include "llmcore/slot_table.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <iterator>
#include <map>
#include <vector>

#include "llmcore/rng.hpp"

namespace llmcore {
namespace {

using Slot = SlotTable::Slot;

const auto kAny = [](Slot) { return true; };

TEST(SlotTable, FindsWhatWasInsertedUntilItIsErased) {
  SlotTable table;
  EXPECT_EQ(table.find(7, kAny), SlotTable::kNone);
  table.insert(7, 1);
  table.insert(8, 2);
  EXPECT_EQ(table.find(7, kAny), 1U);
  EXPECT_EQ(table.find(8, kAny), 2U);
  table.erase(7, 1);
  EXPECT_EQ(table.find(7, kAny), SlotTable::kNone);
  EXPECT_EQ(table.find(8, kAny), 2U);
  table.clear();
  EXPECT_EQ(table.find(8, kAny), SlotTable::kNone);
}

TEST(SlotTable, TheOwnerTellsKeysOfOneHashApart) {
  SlotTable table;
  for (Slot slot = 0; slot < 100; ++slot) table.insert(42, slot);
  for (Slot slot = 0; slot < 100; ++slot) {
    EXPECT_EQ(table.find(42, [&](Slot one) { return one == slot; }), slot);
  }
  table.erase(42, 50);
  EXPECT_EQ(table.find(42, [](Slot one) { return one == 50; }), SlotTable::kNone);
  EXPECT_EQ(table.find(42, [](Slot one) { return one == 99; }), 99U);
}

TEST(SlotTable, AsksOnlyAboutSlotsWhoseWholeHashAgrees) {
  SlotTable table;
  table.insert(0x00010003, 1);
  table.insert(0x00020003, 2);  // the same cell to start from
  EXPECT_EQ(table.find(0x00030003, kAny), SlotTable::kNone);
  EXPECT_EQ(table.find(0x00020003, kAny), 2U);
}

// Hashes that crowd into few cells, at the end of the table and around it: whatever is erased, all others are found.
TEST(SlotTable, AgreesWithAMapWhereEveryChainRunsIntoTheNext) {
  Rng random(5);
  for (int run = 0; run < 200; ++run) {
    SlotTable table;
    std::map<Slot, std::uint32_t> inside;
    std::vector<Slot> free;
    for (Slot slot = 0; slot < 60; ++slot) free.push_back(slot);
    for (int step = 0; step < 400; ++step) {
      if (!free.empty() && random.below(100) < 55) {
        const Slot slot = free.back();
        free.pop_back();
        const auto hash = static_cast<std::uint32_t>(0xfffffffaU + random.below(12));
        inside.emplace(slot, hash);
        table.insert(hash, slot);
      } else if (!inside.empty()) {
        auto which = inside.begin();
        std::advance(which, static_cast<std::ptrdiff_t>(random.below(inside.size())));
        table.erase(which->second, which->first);
        free.push_back(which->first);
        inside.erase(which);
      }
      for (const auto& [slot, hash] : inside) {
        ASSERT_EQ(table.find(hash, [&, wanted = slot](Slot one) { return one == wanted; }), slot) << run << " " << step;
      }
      for (const Slot slot : free) {
        for (std::uint32_t i = 0; i < 12; ++i) {
          ASSERT_EQ(table.find(0xfffffffaU + i, [&](Slot one) { return one == slot; }), SlotTable::kNone);
        }
      }
    }
  }
}

}  // namespace
}  // namespace llmcore
