#include "controls.hpp"

#include <array>
#include <sstream>
#include <utility>

namespace village {
namespace {

Action walk(std::int64_t x, std::int64_t z) { return {Action::Kind::walk, {x, z}, {}, true}; }
Action ask(std::string text) { return {Action::Kind::ask, {}, std::move(text), true}; }
Action network(bool plugged) { return {Action::Kind::network, {}, {}, plugged}; }

}  // namespace

std::string question(std::size_t number) {
  static const std::array<const char*, 5> all{"Who are you?", "Is the bridge safe?", "What news from the north?",
                                              "Where can I sleep tonight?", "What do you fear?"};
  return all[number % all.size()];
}

Actions tour(std::int64_t tick, std::int64_t frames) {
  Actions actions;
  if (tick == 5) actions.push_back(walk(0, -1));
  if (tick == 60) actions.push_back(walk(0, 0));
  if (tick == 20) actions.push_back(ask(question(0)));
  if (tick > 20 && tick % 300 == 20) actions.push_back(ask(question(static_cast<std::size_t>(tick / 300))));
  if (tick == frames * 60 / 100) actions.push_back(network(false));
  if (tick == frames * 65 / 100) actions.push_back(ask("Does anybody hear me?"));
  if (tick == frames * 85 / 100) actions.push_back(network(true));
  return actions;
}

void ActionsWriter::write(std::int64_t tick, const Actions& actions) {
  for (const Action& each : actions) {
    file_ << tick << ' ';
    if (each.kind == Action::Kind::walk) file_ << "walk " << each.direction.x << ' ' << each.direction.z << '\n';
    if (each.kind == Action::Kind::ask) file_ << "ask " << each.text << '\n';
    if (each.kind == Action::Kind::network) file_ << "network " << each.plugged << '\n';
  }
  if (!actions.empty()) file_.flush();
}

ActionsReader::ActionsReader(const std::string& path) {
  std::ifstream file(path);
  good_ = file.good();
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::int64_t tick = 0;
    std::string kind;
    words >> tick >> kind;
    Action action;
    if (kind == "walk") {
      words >> action.direction.x >> action.direction.z;
    } else if (kind == "ask") {
      action.kind = Action::Kind::ask;
      std::getline(words >> std::ws, action.text);
    } else if (kind == "network") {
      action.kind = Action::Kind::network;
      words >> action.plugged;
    } else {
      words.setstate(std::ios::failbit);
    }
    if (words.fail()) good_ = false;
    actions_[tick].push_back(std::move(action));
  }
}

Actions ActionsReader::at(std::int64_t tick) const {
  const auto found = actions_.find(tick);
  return found == actions_.end() ? Actions{} : found->second;
}

}  // namespace village
