#include "play.hpp"

#include <filesystem>
#include <llmcore/net/client_setup.hpp>
#include <utility>

namespace village {
namespace {

constexpr std::uint64_t kSeed = 20'260'731;

/// The environment over llmcore.json over defaults. Where only a llama.cpp server is named, it is the one that is asked.
llmcore::Client::Config configuration(std::vector<std::string>& warnings) {
  using llmcore::net::ConfigManager;
  ConfigManager::Environment environment = ConfigManager::process_environment();
  if (environment.contains("LLAMA_SERVER_URL")) environment.emplace("LLM_PROVIDER", "llama");
  const ConfigManager manager = ConfigManager::load(environment);
  warnings = manager.problems();
  // The templates stand last: whatever happens to the server, everybody has something to say.
  return llmcore::net::client_config_of(manager.settings(), llmcore::net::ProviderFactory(), {"offline"}, warnings);
}

}  // namespace

std::unique_ptr<Play> Play::begin(Mode mode, const std::string& directory, std::string& problem,
                                  std::vector<std::string>& warnings) {
  std::unique_ptr<Play> play(new Play);
  play->mode_ = mode;
  const std::filesystem::path folder(directory);
  const std::string session = (folder / "session").string();
  const std::string actions = (folder / "actions.txt").string();
  if (mode == Mode::replaying) {
    play->session_ = llmcore::Session::replay(session, problem);
    play->reader_ = std::make_unique<ActionsReader>(actions);
    play->provider_ = "replay";
    if (play->session_ && !play->reader_->good()) problem = actions + " cannot be read";
    return problem.empty() ? std::move(play) : nullptr;
  }
  llmcore::Client::Config config = configuration(warnings);
  play->provider_ = config.chain.empty() ? "offline" : config.chain.front().provider;
  play->network_ = std::make_shared<NetworkSwitch>(config.transport);
  config.transport = play->network_;
  if (mode == Mode::recording) {
    std::error_code failed;
    std::filesystem::create_directories(folder, failed);
    play->session_ = llmcore::Session::record(std::move(config), session, kSeed, problem);
    play->writer_ = std::make_unique<ActionsWriter>(actions);
    if (play->session_ && !play->writer_->good()) problem = actions + " cannot be written";
  } else {
    play->session_ = llmcore::Session::live(std::move(config), kSeed, problem);
  }
  return play->session_ && problem.empty() ? std::move(play) : nullptr;
}

bool Play::step(Actions actions) {
  ++tick_;
  watch_.reset();
  if (!watch_.of([&] { return session_->frame(tick_); })) return false;
  if (reader_) actions = reader_->at(tick_);
  if (writer_) writer_->write(tick_, actions);
  for (Action& each : actions) {
    if (each.kind == Action::Kind::walk) direction_ = each.direction;
    if (each.kind == Action::Kind::ask) {
      dialogue_.ask(*session_, world_, world_.nearest(), std::move(each.text), tick_);
    }
    if (each.kind == Action::Kind::network) {
      plugged_ = each.plugged;
      if (network_) network_->set_plugged(plugged_);
    }
  }
  world_.step(*session_, direction_);
  dialogue_.step(*session_, world_, tick_);
  const std::string bytes = world_.bytes();
  const std::string heard = dialogue_.heard();
  watch_.of([&] {
    session_->snapshot("world", bytes, true);
    session_->snapshot("heard", heard);
  });
  return true;
}

std::int64_t Play::in_flight() const noexcept {
  const llmcore::Client* const client = session_->client();
  return client == nullptr ? 0 : client->stats().in_flight;
}

std::int64_t Play::unhealthy() const noexcept {
  const llmcore::Client* const client = session_->client();
  return client == nullptr ? 0 : client->stats().unhealthy;
}

}  // namespace village
