#include "llmcore/slot_store.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <vector>

namespace llmcore {
namespace {

TEST(SlotStore, ElementsNeverMove) {
  SlotStore<std::size_t> store;
  std::vector<const std::size_t*> places;
  for (std::size_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(store.size(), i);
    store.append();
    store[i] = i;
    places.push_back(&store[i]);
  }
  const SlotStore<std::size_t>& view = store;
  for (std::size_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(&view[i], places[i]);
    EXPECT_EQ(view[i], i);
  }
}

TEST(SlotStore, ClearDestroysAllAndBeginsAnew) {
  const auto shared = std::make_shared<int>(1);
  SlotStore<std::shared_ptr<int>> store;
  for (std::size_t i = 0; i < 300; ++i) {
    store.append();
    store[i] = shared;
  }
  EXPECT_EQ(shared.use_count(), 301);
  store.clear();
  EXPECT_EQ(shared.use_count(), 1);
  EXPECT_EQ(store.size(), 0U);
  store.append();
  EXPECT_EQ(store[0], nullptr);
}

}  // namespace
}  // namespace llmcore
