// Who says what: the village's calls to llmcore, and what is heard of them. The player's partner comes first (high), those
// near him next (medium), what the others mutter to themselves last (low); no frame waits for any of them.
#pragma once

#include <cstdint>
#include <llmcore/conversation.hpp>
#include <llmcore/net/session.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "stopwatch.hpp"
#include "world.hpp"

namespace village {

/// What a villager says or is about to say.
struct Speech {
  llmcore::Priority priority = llmcore::Priority::low;
  std::string text;       ///< what has come of it
  std::size_t shown = 0;  ///< bytes of it that are on the screen: it is spoken, not pasted
  bool open = false;      ///< more may come
  bool fallback = false;  ///< another than the first provider speaks: the offline templates, for instance
  bool cached = false;
  std::int64_t until = 0;  ///< the tick in which it vanishes, once it is over

  [[nodiscard]] bool visible(std::int64_t tick) const noexcept { return open || tick < until; }
};

/// What all calls came to, from their events alone: so a replay shows what was shown then.
struct Tally {
  std::int64_t asked = 0;
  std::int64_t open = 0;
  std::int64_t answered = 0;
  std::int64_t failed = 0;
  std::int64_t cached = 0;  ///< from the cache, or joined to an equal call
  std::int64_t fallbacks = 0;
  std::int64_t tokens = 0;  ///< in and out
  llmcore::NanoUsd cost = 0;
  bool cost_known = true;  ///< false: some answer had no price
  std::string provider;    ///< that answered last
};

class Dialogue {
 public:
  /// `watch` counts the time that the session takes.
  Dialogue(const World& world, Stopwatch& watch);

  /// The player speaks to a villager, who drops whatever he was about to say.
  void ask(llmcore::Session& session, World& world, std::size_t villager, std::string text, std::int64_t tick);
  /// One tick: takes in what came, and lets those speak who have something to say.
  void step(llmcore::Session& session, World& world, std::int64_t tick);

  [[nodiscard]] const Speech& speech(std::size_t villager) const noexcept { return villagers_[villager].speech; }
  [[nodiscard]] const Tally& tally() const noexcept { return tally_; }
  /// What the player said last, and to whom; shown for a while.
  [[nodiscard]] const Speech& player() const noexcept { return player_; }
  /// Everything that is said, for the world's snapshot.
  [[nodiscard]] std::string heard() const;

 private:
  struct Speaker {
    llmcore::ConversationMemory memory;
    Speech speech;
    std::string raw;  ///< the open call's text, as it came
    llmcore::CallId call = 0;
    std::string about;      ///< what the open call answers
    std::int64_t next = 0;  ///< the tick in which it may speak by itself again
  };
  void say(llmcore::Session& session, const World& world, std::size_t villager, llmcore::Priority priority,
           std::string about);
  void take(const llmcore::Client::Event& event, World& world, std::int64_t tick);

  Stopwatch& watch_;
  std::vector<Speaker> villagers_;
  Speech player_;
  Tally tally_;
  llmcore::Client::Events events_;
};

}  // namespace village
