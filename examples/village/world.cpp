#include "world.hpp"

#include <algorithm>

namespace village {
namespace {

constexpr std::int64_t kVillagerStep = 22;  // mm in a tick: 1.3 m/s
constexpr std::int64_t kPlayerStep = 60;    // 3.6 m/s
constexpr std::int64_t kStroll = 3'500;     // how far from home a villager goes, mm
constexpr std::int64_t kEdge = 26'000;      // of the village, mm

std::int64_t root_of(std::int64_t square) noexcept {
  std::int64_t root = 0;
  for (std::int64_t bit = std::int64_t{1} << 30; bit > 0; bit >>= 1) {
    if ((root + bit) * (root + bit) <= square) root += bit;
  }
  return root;
}

/// Moves by at most `step` towards `goal`, and stops at walls. True: it is there, or gets no further.
bool walk(Walker& walker, Point goal, std::int64_t step) {
  const Point way{goal.x - walker.at.x, goal.z - walker.at.z};
  const std::int64_t length = root_of(way.x * way.x + way.z * way.z);
  if (length == 0) return true;
  const std::int64_t stride = std::min(step, length);
  const Point next{walker.at.x + way.x * stride / length, walker.at.z + way.z * stride / length};
  walker.facing = way;
  const auto blocks = [&](const Obstacle& wall) {
    return distance(next, wall.at) < wall.radius && distance(next, wall.at) <= distance(walker.at, wall.at);
  };
  if (std::any_of(obstacles().begin(), obstacles().end(), blocks)) return true;
  walker.at = next;
  walker.walked += stride;
  return stride == length;
}

Villager villager(std::string name, std::string trade, std::string mind, Point home) {
  Villager made;
  made.name = std::move(name);
  made.trade = std::move(trade);
  made.mind = std::move(mind);
  made.at = made.home = made.goal = home;
  return made;
}

}  // namespace

std::int64_t distance(Point a, Point b) noexcept {
  return root_of((a.x - b.x) * (a.x - b.x) + (a.z - b.z) * (a.z - b.z));
}

const std::vector<Obstacle>& obstacles() {
  static const std::vector<Obstacle> all{{{0, 0}, 1'700},          {{-9'500, -7'500}, 4'200},
                                         {{0, -13'000}, 4'400},    {{10'000, -8'000}, 4'200},
                                         {{13'500, 3'500}, 4'000}, {{-13'500, 3'000}, 4'000}};
  return all;
}

World::World() {
  villagers_.push_back(villager("Mira", "the innkeeper", "You know every guest and every rumour.", {-3'800, -3'200}));
  villagers_.push_back(
      villager("Jon", "the smith", "You are proud of your forge and tired of the rain.", {5'200, -3'400}));
  villagers_.push_back(villager("Old Pell", "the beggar", "You have seen three kings and liked none.", {2'600, 2'600}));
  villagers_.push_back(villager("Hanna", "the farmer", "You worry about the harvest.", {-6'500, 3'800}));
  villagers_.push_back(villager("Tobin", "the miller's boy", "You want to see the sea.", {8'000, 5'500}));
  villagers_.push_back(villager("Edda", "the healer", "You know herbs, and what people hide.", {0, -7'600}));
  for (std::size_t i = 0; i < villagers_.size(); ++i) villagers_[i].rest = static_cast<std::int64_t>(20 + 35 * i);
  player_.name = "You";
  player_.at = {0, 7'500};
  player_.facing = {0, -1};
}

void World::step(llmcore::Session& session, Point direction) {
  const Point ahead{player_.at.x + direction.x * 1'000, player_.at.z + direction.z * 1'000};
  player_.walking = (direction.x != 0 || direction.z != 0) && distance(ahead, {0, 0}) < kEdge;
  if (player_.walking) walk(player_, ahead, kPlayerStep);

  for (Villager& each : villagers_) {
    each.walking = false;
    if (each.attends > 0) {
      --each.attends;
      each.facing = {player_.at.x - each.at.x, player_.at.z - each.at.z};
    } else if (each.rest > 0) {
      if (--each.rest == 0) {
        each.goal = {each.home.x + session.between("stroll.x", -kStroll, kStroll),
                     each.home.z + session.between("stroll.z", -kStroll, kStroll)};
      }
    } else if (walk(each, each.goal, kVillagerStep)) {
      each.rest = session.between("stroll.rest", 2 * kTicksPerSecond, 6 * kTicksPerSecond);
    } else {
      each.walking = true;
    }
  }
}

std::int64_t World::from_player(std::size_t villager) const noexcept {
  return distance(villagers_[villager].at, player_.at);
}

std::size_t World::nearest() const noexcept {
  std::size_t best = 0;
  for (std::size_t i = 1; i < villagers_.size(); ++i) {
    if (from_player(i) < from_player(best)) best = i;
  }
  return best;
}

std::string World::bytes() const {
  std::string out = "{";
  const auto tell = [&](const Walker& walker) {
    if (out.size() > 1) out += ',';
    out.append("\"").append(walker.name).append("\":[").append(std::to_string(walker.at.x)).append(",");
    out.append(std::to_string(walker.at.z)).append("]");
  };
  tell(player_);
  for (const Villager& each : villagers_) tell(each);
  return out + '}';
}

}  // namespace village
