// The village itself, without pictures: who is where and walks whither. Whole numbers only, in millimetres and frames, so
// that the same draws give the same world on every machine, and a replay can be held against it.
#pragma once

#include <cstdint>
#include <llmcore/net/session.hpp>
#include <string>
#include <vector>

namespace village {

inline constexpr std::int64_t kTicksPerSecond = 60;

struct Point {
  std::int64_t x = 0;  ///< to the east, mm
  std::int64_t z = 0;  ///< to the south, mm
};
[[nodiscard]] std::int64_t distance(Point a, Point b) noexcept;

/// Somebody on two feet: a villager, or the player.
struct Walker {
  std::string name;
  Point at;
  Point facing{0, 1};       ///< a direction of any length
  std::int64_t walked = 0;  ///< mm, which is how its legs stand
  bool walking = false;
};

struct Villager : Walker {
  std::string trade;  ///< "the innkeeper"
  std::string mind;   ///< what else a model should know
  Point home;
  Point goal;
  std::int64_t rest = 0;     ///< ticks until it walks again
  std::int64_t attends = 0;  ///< ticks for which it stands and faces the player
};

class World {
 public:
  World();

  /// One tick. Where villagers go is drawn from the session; the player walks in `direction`.
  void step(llmcore::Session& session, Point direction);
  /// That villager stops and turns to the player for so long.
  void attend(std::size_t villager, std::int64_t ticks) { villagers_[villager].attends = ticks; }

  [[nodiscard]] const std::vector<Villager>& villagers() const noexcept { return villagers_; }
  [[nodiscard]] const Walker& player() const noexcept { return player_; }
  /// Who is nearest to the player.
  [[nodiscard]] std::size_t nearest() const noexcept;
  [[nodiscard]] std::int64_t from_player(std::size_t villager) const noexcept;
  /// The state of the world as JSON.
  [[nodiscard]] std::string bytes() const;

 private:
  std::vector<Villager> villagers_;
  Walker player_;
};

/// Houses and the well, which nobody walks through: where, and how far around.
struct Obstacle {
  Point at;
  std::int64_t radius = 0;
};
[[nodiscard]] const std::vector<Obstacle>& obstacles();

}  // namespace village
