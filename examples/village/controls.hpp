// What the player does, tick by tick: from the keyboard, from the tour that the headless mode takes, or from a file, where
// a recording keeps it beside the session so that it can be played again.
#pragma once

#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "world.hpp"

namespace village {

struct Action {
  enum class Kind : std::uint8_t { walk, ask, network };
  Kind kind = Kind::walk;
  Point direction;      ///< walk: from here on
  std::string text;     ///< ask: the nearest villager
  bool plugged = true;  ///< network: pulled, or put in again
};
using Actions = std::vector<Action>;

/// A walk through the village with a question here and there; after 60 % of the frames the network is pulled, after 85 %
/// it is back.
[[nodiscard]] Actions tour(std::int64_t tick, std::int64_t frames);
/// The question that comes after so many others.
[[nodiscard]] std::string question(std::size_t number);

class ActionsWriter {
 public:
  explicit ActionsWriter(const std::string& path) : file_(path) {}
  void write(std::int64_t tick, const Actions& actions);
  [[nodiscard]] bool good() const { return file_.good(); }

 private:
  std::ofstream file_;
};

class ActionsReader {
 public:
  explicit ActionsReader(const std::string& path);
  [[nodiscard]] Actions at(std::int64_t tick) const;
  [[nodiscard]] bool good() const noexcept { return good_; }

 private:
  std::map<std::int64_t, Actions> actions_;
  bool good_ = false;
};

}  // namespace village
