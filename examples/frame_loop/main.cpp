// A village without pictures: the loop of a game at 60 frames a second, in which villagers speak and nothing ever waits.
//
//   frame_loop                                          texts from templates, without a network
//   LLAMA_SERVER_URL=http://127.0.0.1:8080 LLM_PROVIDER=llama frame_loop
//   OPENAI_API_KEY=... LLM_MODEL=gpt-4o-mini frame_loop 600
//
// The argument is how many frames it runs, 180 if there is none.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <llmcore/conversation.hpp>
#include <llmcore/net/client_setup.hpp>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kFrame = std::chrono::nanoseconds(16'666'667);

struct Villager {
  std::string name;
  llmcore::Priority priority;  // high for whom the player talks to, low for who mutters to himself
  llmcore::ConversationMemory memory;
  llmcore::CallId speaking = 0;
};

/// Asks for a villager's next words. Returns at once: what comes of it comes as events.
void speak(llmcore::Client& client, Villager& villager, const std::string& about) {
  llmcore::Client::Request request;
  request.messages = villager.memory.turn(about);
  request.priority = villager.priority;
  request.deadline = 5 * llmcore::kSecond;
  request.call_type = "dialogue";
  request.max_tokens = 60;
  request.context.player_name = "player";  // whose budget it is
  request.placeholders = {{"name", villager.name}};
  villager.memory.add_user(about);
  villager.speaking = client.submit(std::move(request));
}

}  // namespace

int main(int argc, char** argv) {
  const long frames = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 180;

  // The environment over llmcore.json over defaults. What is wrong is said, and what remains works.
  using llmcore::net::ConfigManager;
  const ConfigManager manager = ConfigManager::load(ConfigManager::process_environment());
  std::vector<std::string> problems = manager.problems();
  llmcore::Client::Config config =
      llmcore::net::client_config_of(manager.settings(), llmcore::net::ProviderFactory(), {"offline"}, problems);
  for (const std::string& problem : problems) std::fprintf(stderr, "llmcore: %s\n", problem.c_str());
  std::string unusable;
  const auto client = llmcore::Client::create(std::move(config), unusable);
  if (!client) {
    std::fprintf(stderr, "llmcore: %s\n", unusable.c_str());
    return 1;
  }

  std::vector<Villager> villagers;
  villagers.push_back(
      {"Mira", llmcore::Priority::high, llmcore::ConversationMemory("You are Mira, the innkeeper."), 0});
  villagers.push_back({"Jon", llmcore::Priority::medium, llmcore::ConversationMemory("You are Jon, the smith."), 0});
  villagers.push_back({"Old Pell", llmcore::Priority::low, llmcore::ConversationMemory("You are Pell, a beggar."), 0});
  const std::vector<std::string> topics{"Who are you?", "Is the bridge safe?", "What news from the north?"};

  std::vector<double> spent;  // microseconds of each frame inside llmcore
  llmcore::Client::Events events;
  auto next = Clock::now();
  for (long frame = 0; frame < frames; ++frame) {
    const auto began = Clock::now();
    client->set_frame(frame);
    if (frame % 60 == 0) {  // once a second
      for (Villager& villager : villagers) {
        if (villager.speaking == 0)
          speak(*client, villager, topics[static_cast<std::size_t>(frame / 60) % topics.size()]);
      }
    }
    client->poll(events);
    spent.push_back(std::chrono::duration<double, std::micro>(Clock::now() - began).count());

    for (const llmcore::Client::Event& event : events) {
      using Kind = llmcore::Client::Event::Kind;
      if (event.kind == Kind::token) continue;  // a speech bubble would grow here
      const auto who = std::find_if(villagers.begin(), villagers.end(),
                                    [&](const Villager& villager) { return villager.speaking == event.call; });
      if (who == villagers.end()) continue;
      who->speaking = 0;
      if (event.kind == Kind::finished) {
        who->memory.add_assistant(std::string(event.text));
        std::printf("%4ld %s%s: %.*s\n", frame, who->name.c_str(), event.fallback ? " (offline)" : "",
                    static_cast<int>(event.text.size()), event.text.data());
      } else {
        std::printf("%4ld %s is silent: %.*s\n", frame, who->name.c_str(), static_cast<int>(event.error.size()),
                    event.error.data());
      }
    }
    std::this_thread::sleep_until(next += kFrame);
  }

  const llmcore::Client::Stats stats = client->stats();
  std::sort(spent.begin(), spent.end());
  const auto at = [&](double share) {
    return spent[static_cast<std::size_t>(share * static_cast<double>(spent.size() - 1))];
  };
  std::printf("%ld frames; inside llmcore p50 %.1f us, p99 %.1f us, longest %.1f us\n", frames, at(0.5), at(0.99),
              at(1));
  std::printf("%lld answers, %lld fallbacks, %lld tokens, %.6f US dollars\n", static_cast<long long>(stats.finished),
              static_cast<long long>(stats.fallbacks), static_cast<long long>(stats.input_tokens + stats.output_tokens),
              static_cast<double>(stats.cost) / 1e9);
  return client->shutdown(50 * llmcore::kMillisecond) ? 0 : 1;
}
