#include "dialogue.hpp"

#include <algorithm>
#include <array>

#include "words.hpp"

namespace village {
namespace {

using llmcore::Priority;

constexpr std::int64_t kNear = 7'500;      // mm: who is nearer than that speaks to the player
constexpr std::int64_t kTicksPerByte = 2;  // how long a text stays, once it is there
constexpr std::int64_t kTicksAtLeast = 150;

constexpr std::array<std::string_view, 5> kRemarks{"the weather", "the bridge", "the inn", "the harvest", "the market"};
constexpr std::array<std::string_view, 4> kThoughts{"supper", "the north road", "the old king", "winter"};

/// Answers may take longer than what nobody waits for.
llmcore::Duration deadline_of(Priority priority) {
  if (priority == Priority::high) return 15 * llmcore::kSecond;
  return (priority == Priority::medium ? 12 : 10) * llmcore::kSecond;
}

/// Bytes of a bubble: what nobody asked for is kept short.
std::size_t most_text(Priority priority) { return priority == Priority::low ? 90 : 150; }

}  // namespace

Dialogue::Dialogue(const World& world, Stopwatch& watch) : watch_(watch) {
  for (const Villager& each : world.villagers()) {
    std::string prompt = "You are " + each.name + ", " + each.trade + " of a small village. " + each.mind +
                         " Say one short sentence, in your own words, as " + each.name + ".";
    Speaker speaker{llmcore::ConversationMemory(std::move(prompt), 6), {}, {}, 0, {}, 0};
    speaker.next = static_cast<std::int64_t>(30 + 45 * villagers_.size());
    villagers_.push_back(std::move(speaker));
  }
}

void Dialogue::say(llmcore::Session& session, const World& world, std::size_t villager, Priority priority,
                   std::string about) {
  Speaker& speaker = villagers_[villager];
  llmcore::Client::Request request;
  request.priority = priority;
  request.deadline = deadline_of(priority);
  request.call_type = priority == Priority::high ? "dialogue" : priority == Priority::medium ? "commentary" : "chat";
  request.max_tokens = 40;
  request.temperature = 0.7;
  request.context.player_name = "player";  // whose budget it is
  request.context.game_id = "village";
  request.placeholders = {{"name", world.villagers()[villager].name}, {"other", "stranger"}, {"place", "village"}};
  // A thought does not go into the conversation, so the same one is asked for again in the same words: the cache has it.
  request.cache = priority == Priority::low;
  request.messages = priority == Priority::low ? llmcore::ConversationMemory(speaker.memory.system_prompt()).turn(about)
                                               : speaker.memory.turn(about);
  speaker.about = std::move(about);
  speaker.raw.clear();
  speaker.speech = Speech{};
  speaker.speech.priority = priority;
  speaker.speech.open = true;
  speaker.call = watch_.of([&] { return session.submit(std::move(request)); });
  ++tally_.asked;
  ++tally_.open;
}

void Dialogue::ask(llmcore::Session& session, World& world, std::size_t villager, std::string text, std::int64_t tick) {
  Speaker& speaker = villagers_[villager];
  if (speaker.call != 0)
    watch_.of([&] { session.cancel(speaker.call); });  // its end comes as an event that nobody waits for
  world.attend(villager, 12 * kTicksPerSecond);
  player_ = Speech{};
  player_.text = text;
  player_.shown = text.size();
  player_.until = tick + kTicksAtLeast;
  say(session, world, villager, Priority::high, std::move(text));
}

void Dialogue::take(const llmcore::Client::Event& event, World& world, std::int64_t tick) {
  using Kind = llmcore::Client::Event::Kind;
  if (event.kind == Kind::finished || event.kind == Kind::failed) {
    --tally_.open;
    tally_.tokens += event.input_tokens + event.output_tokens;
    tally_.cost += event.cost.value_or(0);
    if (event.kind == Kind::finished) {
      ++tally_.answered;
      tally_.cached += event.source == llmcore::Source::cache || event.source == llmcore::Source::joined;
      tally_.fallbacks += event.fallback;
      tally_.cost_known = tally_.cost_known && event.cost.has_value();
      tally_.provider = event.provider;
    } else {
      ++tally_.failed;
    }
  }
  const auto who = std::find_if(villagers_.begin(), villagers_.end(),
                                [&](const Speaker& each) { return each.call == event.call && event.call != 0; });
  if (who == villagers_.end()) return;
  Speech& speech = who->speech;
  if (event.kind == Kind::token) {
    who->raw += event.text;
    speech.text = spoken(who->raw, most_text(speech.priority), false);
    return;
  }
  who->call = 0;
  speech.open = false;
  speech.fallback = event.fallback;
  speech.cached = event.source == llmcore::Source::cache;
  if (event.kind == Kind::finished) {
    speech.text = spoken(event.text, most_text(speech.priority), true);
    if (speech.priority != Priority::low) {
      who->memory.add_user(who->about);
      who->memory.add_assistant(std::string(event.text));
    }
  }
  const auto length = static_cast<std::int64_t>(speech.text.size());
  speech.until = speech.text.empty() ? tick : tick + kTicksAtLeast + kTicksPerByte * length;
  if (speech.priority == Priority::high) {
    world.attend(static_cast<std::size_t>(who - villagers_.begin()), speech.until - tick);
  }
}

void Dialogue::step(llmcore::Session& session, World& world, std::int64_t tick) {
  watch_.of([&] { return session.poll(events_); });
  for (const llmcore::Client::Event& event : events_) take(event, world, tick);

  for (std::size_t i = 0; i < villagers_.size(); ++i) {
    Speech& speech = villagers_[i].speech;
    if (tick % kTicksPerByte == 0) speech.shown = next_letter(speech.text, speech.shown);
    if (speech.visible(tick) || tick < villagers_[i].next) continue;
    villagers_[i].next = tick + session.between("silence", 4 * kTicksPerSecond, 8 * kTicksPerSecond);
    if (world.from_player(i) < kNear) {
      const auto topic = kRemarks[session.below("remark", kRemarks.size())];
      say(session, world, i, Priority::medium,
          "A stranger walks by. Tell him something about " + std::string(topic) + ".");
    } else {
      const auto topic = kThoughts[session.below("thought", kThoughts.size())];
      say(session, world, i, Priority::low, "What do you think about " + std::string(topic) + "?");
    }
  }
}

std::string Dialogue::heard() const {
  std::string out;
  for (const Speaker& each : villagers_) out += each.speech.text + '\n' + std::to_string(each.speech.shown) + '\n';
  return out;
}

}  // namespace village
