// A game played while its network fails.
//
//   llmcore_soak play SECONDS          half an hour at 15 times its speed is 120: asserts that memory and file descriptors stay
//                                      flat, that each call ends once, and that the game's thread is never held up
//   llmcore_soak watch URL             a game at its own speed, which says what becomes of it; ends with its standard input
//   llmcore_soak serve HOST PORT SPEED the model for both; port 0: any, which it says
#include <dirent.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "llmcore/net/curl_transport.hpp"
#include "llmcore/net/providers.hpp"
#include "net/child_process.hpp"
#include "net/frame_loop.hpp"
#include "server.hpp"

namespace {

using namespace llmcore;
using net::FrameLoop;
using SteadyClock = std::chrono::steady_clock;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kMemoryIsTheSanitizers = true;
#else
constexpr bool kMemoryIsTheSanitizers = false;
#endif

constexpr std::int64_t kSpeed = 15;
constexpr std::size_t kOpen = 40;  // calls at once
constexpr int kQuestions = 64;     // that are asked again and again, and cached

/// A game's usual settings, with every time `speed` times shorter.
Client::Config config_at(const std::string& url, std::int64_t speed) {
  Client::Config made;
  made.engine = llmcore::Config::server();
  made.engine.backoff.base = 500 * kMillisecond / speed;
  made.engine.recovery.cooldown = 10 * kSecond / speed;
  made.engine.deadline = 10 * kSecond / speed;
  made.engine.attempt_timeout = 5 * kSecond / speed;
  made.engine.cache.max_entries = kQuestions;
  net::HttpOptions options;
  options.base_url = url;
  options.api_key = "sk-soak";
  options.name = "model";
  made.providers = {std::make_shared<net::LocalLlamaProvider>(std::move(options))};
  made.chain = {{"model", "m"}};
  net::CurlOptions curl;
  curl.proxy = "";
  made.transport = std::make_shared<net::CurlTransport>(std::move(curl));
  return made;
}

Client::Request question(const std::string& words) {
  Client::Request request;
  request.messages.push_back({Client::Role::user, words, {}, {}});
  request.call_type = "dialogue";
  request.context.player_name = "ann";
  request.cache = false;
  return request;
}

/// What the process holds while no call is open.
struct Held {
  double rss_kib = 0;
  double heap_kib = 0;
  double descriptors = 0;

  static Held now() {
    Held held;
    long pages = 0;
    std::ifstream statm("/proc/self/statm");
    statm >> pages >> pages;
    held.rss_kib = static_cast<double>(pages) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1024;
    held.heap_kib = static_cast<double>(::mallinfo2().uordblks) / 1024;
    if (DIR* const folder = ::opendir("/proc/self/fd")) {
      while (::readdir(folder) != nullptr) ++held.descriptors;
      held.descriptors -= 3;  // ".", ".." and this folder
      ::closedir(folder);
    }
    return held;
  }
};

struct Ends {
  std::int64_t model = 0, fallback = 0, broken = 0, cancelled = 0, failed = 0;
  void add(const FrameLoop::Call& call) {
    if (call.ends != 1) {
      ++failed;
    } else if (call.finished) {
      ++(call.fallback ? fallback : call.provider != "model" ? failed : model);
    } else {
      ++(call.outcome == Outcome::cancelled ? cancelled : call.shown.empty() ? failed : broken);
    }
  }
};

class Model {
 public:
  explicit Model(std::string program) : program_(std::move(program)) { start(); }
  void start() {
    process_ = net::ChildProcess({program_, "serve", "127.0.0.1", std::to_string(port_), std::to_string(kSpeed)});
    for (int i = 0; i < 200 && process_.said(50).find('\n') == std::string::npos; ++i) {
    }
    port_ = std::atoi(process_.said().c_str());
  }
  void kill() { process_.kill(); }
  void stop() const { ::kill(process_.pid(), SIGSTOP); }
  void go_on() const { ::kill(process_.pid(), SIGCONT); }
  [[nodiscard]] int port() const noexcept { return port_; }

 private:
  std::string program_;
  net::ChildProcess process_;
  int port_ = 0;
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

/// Whether the second half of the rounds after the first third, which are the warm-up, holds what the first half held.
bool flat(const char* what, const std::vector<Held>& rounds, double Held::* figure, double slack) {
  std::vector<double> warm;
  for (std::size_t i = rounds.size() / 3; i < rounds.size(); ++i) warm.push_back(rounds[i].*figure);
  const auto half = static_cast<std::ptrdiff_t>(warm.size() / 2);
  const double before = median({warm.begin(), warm.begin() + half});
  const double after = median({warm.begin() + half, warm.end()});
  const bool held = after - before <= slack;
  std::printf("%-18s %10.0f, then %10.0f%s\n", what, before, after, held ? "" : "   GROWS");
  return held;
}

int play(const char* program, double seconds) {
  // The network's weather, a round of it in each two minutes of the game.
  constexpr std::array<const char*, 9> kWeather{"",       "[stall] ", "[cut] ", "[garbage] ", "[500] ", "[429] ",
                                                "killed", "stopped",  ""};
  const int rounds = std::max(6, static_cast<int>(seconds / 8));
  const auto frames = static_cast<std::int64_t>(seconds * 60 * kSpeed);
  const std::int64_t each = std::max<std::int64_t>(frames / rounds / static_cast<std::int64_t>(kWeather.size()), 1);
  const auto frame_time = std::chrono::nanoseconds(kSecond / 60 / kSpeed);

  Model model(program);
  if (model.port() == 0) return std::fprintf(stderr, "there is no server\n"), 1;
  char folder[] = "/tmp/llmcore_soak_XXXXXX";
  if (::mkdtemp(folder) == nullptr) return std::fprintf(stderr, "there is no folder for a ledger\n"), 1;
  Client::Config config = config_at("http://127.0.0.1:" + std::to_string(model.port()) + "/v1", kSpeed);
  config.ledger = folder;
  auto client = std::make_unique<Client>(std::move(config));
  FrameLoop loop(*client);
  std::vector<Held> held;
  Ends all;
  std::deque<CallId> open;
  std::int64_t submitted = 0;
  std::int64_t dry = 0;  // rounds in which nobody answered although the weather was fair, or nothing fell back in foul
  auto due = SteadyClock::now();
  const auto frame = [&](Ends& ends) {
    loop.frame();
    loop.forget([&](const FrameLoop::Call& call) { ends.add(call); });
    std::erase_if(open, [&](CallId id) { return loop.calls().count(id) == 0; });
    due = std::max(due + frame_time, SteadyClock::now() - frame_time);
    std::this_thread::sleep_until(due);
  };
  for (int round = 0; round < rounds; ++round) {
    Ends ends;
    for (const std::string fault : kWeather) {
      if (fault == "killed") model.kill();
      if (fault == "stopped") model.stop();
      const bool marked = fault.starts_with('[');
      for (std::int64_t tick = 0; tick < each; ++tick) {
        if (open.size() < kOpen) {
          ++submitted;
          Client::Request request =
              question((marked && submitted % 2 == 0 ? fault : "") + "Question " + std::to_string(submitted));
          if (submitted % 4 == 1) {
            request = question("Question " + std::to_string(submitted / 4 % kQuestions));
            request.cache = true;
          }
          request.stream = submitted % 8 != 0 || marked;
          open.push_back(loop.submit(std::move(request)));
        }
        if (tick % 30 == 29 && !open.empty()) loop.cancel(open[open.size() / 2]);
        frame(ends);
      }
      if (fault == "killed") model.start();
      if (fault == "stopped") model.go_on();
    }
    const auto end = SteadyClock::now() + std::chrono::seconds(30);
    while (!loop.calls().empty() && SteadyClock::now() < end) frame(ends);
    held.push_back(Held::now());
    dry += ends.model == 0 || ends.fallback == 0 ? 1 : 0;
    std::printf(
        "round %2d: %5lld by the model, %5lld fallbacks, %4lld broken off, %3lld cancelled, %lld lost   "
        "RSS %6.0f KiB, heap %5.0f KiB, %2.0f descriptors\n",
        round + 1, static_cast<long long>(ends.model), static_cast<long long>(ends.fallback),
        static_cast<long long>(ends.broken), static_cast<long long>(ends.cancelled),
        static_cast<long long>(ends.failed) + static_cast<long long>(loop.calls().size()), held.back().rss_kib,
        held.back().heap_kib, held.back().descriptors);
    std::fflush(stdout);
    all.model += ends.model;
    all.fallback += ends.fallback;
    all.broken += ends.broken;
    all.cancelled += ends.cancelled;
    all.failed += ends.failed;
  }
  const Client::Stats stats = client->stats();
  const bool ended = client->shutdown(10 * kSecond);
  client.reset();
  std::filesystem::remove_all(folder);

  bool good = flat("descriptors", held, &Held::descriptors, 8);
  if (!kMemoryIsTheSanitizers) {
    const bool heap = flat("heap in KiB", held, &Held::heap_kib, 256);
    const bool rss = flat("RSS in KiB", held, &Held::rss_kib, 2048);
    good = good && heap && rss;
  }
  const std::int64_t total = all.model + all.fallback + all.broken + all.cancelled + all.failed;
  std::printf(
      "%lld frames, %lld calls, %lld ends, %lld strays, %lld retries, %lld from the cache; held up %d times, the "
      "longest visit %.2f ms\n",
      static_cast<long long>(loop.frames()), static_cast<long long>(submitted), static_cast<long long>(total),
      static_cast<long long>(loop.strays()), static_cast<long long>(stats.retries),
      static_cast<long long>(stats.cached), loop.held_up(),
      static_cast<double>(loop.longest()) / static_cast<double>(kMillisecond));
  good = good && ended && total == submitted && all.failed == 0 && loop.strays() == 0 && loop.held_up() == 0 &&
         stats.live == 0 && stats.unwritten == 0 && dry == 0;
  std::printf(good ? "all is well\n" : "NOT as it should be\n");
  return good ? 0 : 1;
}

int watch(const char* url) {
  constexpr std::int64_t kFaster = 10;  // than a game's settings: a test has no ten seconds
  Client client(config_at(url, kFaster));
  FrameLoop loop(client);
  Ends ends;
  std::int64_t submitted = 0;
  std::string said;
  const auto say = [&](const std::string& what) {
    if (what == said) return;
    said = what;
    std::printf("%s\n", what.c_str());
    std::fflush(stdout);
  };
  const auto frame = [&] {
    loop.frame();
    loop.forget([&](const FrameLoop::Call& call) {
      ends.add(call);
      if (!call.finished && !call.shown.empty()) say("broken off");
      if (call.finished) say(call.fallback ? (client.stats().unhealthy != 0 ? "open" : "fallback") : "model");
    });
    for (const auto& [id, call] : loop.calls()) {
      if (said == "model" && !call.shown.empty()) say("streaming");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(16));
  };
  pollfd input{0, POLLIN, 0};
  while (::poll(&input, 1, 0) == 0) {
    if (loop.calls().size() < 8 && loop.frames() % 8 == 0) {
      loop.submit(question("Question " + std::to_string(++submitted)));
    }
    frame();
  }
  const auto end = SteadyClock::now() + std::chrono::seconds(20);
  while (!loop.calls().empty() && SteadyClock::now() < end) frame();
  const std::int64_t total = ends.model + ends.fallback + ends.broken + ends.cancelled + ends.failed;
  std::printf(
      "%lld calls: %lld by the model, %lld fallbacks, %lld broken off, %lld lost; held up %d times, the longest "
      "visit %.2f ms\n",
      static_cast<long long>(submitted), static_cast<long long>(ends.model), static_cast<long long>(ends.fallback),
      static_cast<long long>(ends.broken), static_cast<long long>(ends.failed + submitted - total), loop.held_up(),
      static_cast<double>(loop.longest()) / static_cast<double>(kMillisecond));
  return total == submitted && ends.failed == 0 && loop.strays() == 0 && loop.held_up() == 0 && client.shutdown(kSecond)
             ? 0
             : 1;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string what = count > 1 ? arguments[1] : "";
  if (what == "play" && count == 3) return play(arguments[0], std::atof(arguments[2]));
  if (what == "watch" && count == 3) return watch(arguments[2]);
  if (what == "serve" && count == 5) {
    soak::serve(arguments[2], static_cast<std::uint16_t>(std::atoi(arguments[3])),
                25 * kMillisecond / std::max(1, std::atoi(arguments[4])));
  }
  std::fprintf(stderr, "usage: %s play SECONDS | watch URL | serve HOST PORT SPEED\n", arguments[0]);
  return 2;
}
