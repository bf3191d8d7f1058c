// A game at 60 frames a second with 100 calls in flight: what llmcore takes of each frame, and beside it, in the same run, the
// same game on blocking libcurl with a thread for each call.
//
//   llmcore_frame_loop            60 s each
//   llmcore_frame_loop --quick    6 s each
//   --json FILE, --seconds N, --calls N
#include <curl/curl.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <list>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "llmcore/net/client.hpp"
#include "llmcore/net/curl_transport.hpp"
#include "llmcore/net/providers.hpp"
#include "llmcore/net/session.hpp"
#include "server.hpp"

namespace {

std::atomic<std::int64_t> heap{0};       // in use, of what C++ took
std::atomic<std::int64_t> curl_heap{0};  // and of what libcurl took

}  // namespace

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"  // these are a pair: inlined, GCC sees malloc and free alone
#endif
void* operator new(std::size_t size) {
  void* const block = std::malloc(size);
  if (block == nullptr) throw std::bad_alloc();
  heap.fetch_add(static_cast<std::int64_t>(malloc_usable_size(block)), std::memory_order_relaxed);
  return block;
}
void operator delete(void* block) noexcept {
  heap.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(block)), std::memory_order_relaxed);
  std::free(block);
}
void operator delete(void* block, std::size_t /*size*/) noexcept { operator delete(block); }

namespace {

void* counted(void* block) {
  if (block != nullptr) curl_heap.fetch_add(static_cast<std::int64_t>(malloc_usable_size(block)));
  return block;
}
void uncounted(void* block) {
  if (block != nullptr) curl_heap.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(block)));
}
void count_what_libcurl_takes() {
  curl_global_init_mem(
      CURL_GLOBAL_DEFAULT, [](std::size_t size) { return counted(std::malloc(size)); },
      [](void* block) {
        uncounted(block);
        std::free(block);
      },
      [](void* block, std::size_t size) {
        uncounted(block);
        return counted(std::realloc(block, size));
      },
      [](const char* text) { return static_cast<char*>(counted(::strdup(text))); },
      [](std::size_t count, std::size_t size) { return counted(std::calloc(count, size)); });
}

using Clock = std::chrono::steady_clock;
using Micro = std::chrono::duration<double, std::micro>;

constexpr auto kFrame = std::chrono::nanoseconds(16'666'667);
constexpr int kTokens = 40;
constexpr auto kBetween = std::chrono::milliseconds(25);
constexpr std::size_t kCancelEvery = 30;  // frames
constexpr std::size_t kWorldBytes = 4096;
constexpr int kDraws = 4;

struct Figures {
  std::vector<double> frame;  // microseconds of each
  std::vector<double> submit;
  std::vector<double> cancel;
  double shutdown_ms = 0;
  std::int64_t heap_growth = 0;  // bytes
  std::int64_t curl_growth = 0;
  std::int64_t tokens = 0;
  std::int64_t answers = 0;
  std::int64_t failures = 0;
  std::int64_t late_frames = 0;  // that began more than a millisecond late, whoever took the time
};

double percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  const auto at = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<std::size_t>(at)];
}

template <class Work>
double timed(Work&& work) {
  const auto start = Clock::now();
  work();
  return Micro(Clock::now() - start).count();
}

/// The same loop on llmcore.
class Native {
 public:
  Native(const std::string& url, std::size_t calls, std::size_t frames)
      : client_(config(url)), calls_(calls), frames_(frames) {
    figures_.frame.reserve(frames);
    figures_.submit.reserve(frames * 2 + calls);
    figures_.cancel.reserve(frames);
  }

  Figures play() {
    // What stays in use is looked at where no call is open, for in between each has its own: after a third of the time,
    // and at its end.
    due_ = Clock::now();
    run(frames_ / 3);
    drain();
    const std::int64_t warm = heap.load();
    const std::int64_t curl_warm = curl_heap.load();
    run(frames_);
    drain();
    figures_.heap_growth = heap.load() - warm;
    figures_.curl_growth = curl_heap.load() - curl_warm;
    while (open_.size() < calls_) submit();
    while (client_.stats().in_flight < static_cast<std::int64_t>(calls_)) std::this_thread::yield();
    figures_.shutdown_ms = timed([&] { client_.shutdown(10 * llmcore::kSecond); }) / 1000;
    return std::move(figures_);
  }

 private:
  static llmcore::Client::Config config(const std::string& url) {
    llmcore::Client::Config config;
    config.engine = llmcore::Config::server();
    llmcore::net::HttpOptions options;
    options.base_url = url;
    options.api_key = "sk-benchmark";
    config.providers = {std::make_shared<llmcore::net::OpenAIProvider>(std::move(options))};
    config.chain = {{"openai", "m"}};
    config.transport = std::make_shared<llmcore::net::CurlTransport>();
    config.cache = false;
    return config;
  }

  double submit() {
    llmcore::Client::Request request;  // the game's own work: what to say
    request.messages.push_back(
        {llmcore::Client::Role::system, "You are the smith of a small village. Answer in one line.", {}, {}});
    request.messages.push_back(
        {llmcore::Client::Role::user, "What is new? This is question " + std::to_string(number_++), {}, {}});
    request.context.player_name = "ann";
    llmcore::CallId call = 0;
    figures_.submit.push_back(timed([&] { call = client_.submit(std::move(request)); }));
    open_.push_back(call);
    return figures_.submit.back();
  }

  void frame(bool speaking) {
    due_ += kFrame;
    double taken = timed([&] { client_.set_frame(tick_); });
    // At the beginning a few more each frame, so that they do not all end together.
    for (int i = 0; i < 2 && speaking && open_.size() < calls_; ++i) taken += submit();
    if (tick_ % kCancelEvery == kCancelEvery - 1 && !open_.empty()) {
      figures_.cancel.push_back(timed([&] { client_.cancel(open_.front()); }));
      taken += figures_.cancel.back();
    }
    taken += timed([&] { client_.poll(events_); });
    for (const llmcore::Client::Event& event : events_) {
      if (event.kind == llmcore::Client::Event::Kind::token) {
        ++figures_.tokens;
        continue;
      }
      ++(event.kind == llmcore::Client::Event::Kind::finished ? figures_.answers : figures_.failures);
      open_.erase(std::remove(open_.begin(), open_.end(), event.call), open_.end());
    }
    if (speaking) figures_.frame.push_back(taken);
    std::this_thread::sleep_until(due_);
    figures_.late_frames += Clock::now() - due_ > std::chrono::milliseconds(1) ? 1 : 0;
    ++tick_;
  }

  void run(std::size_t until) {
    while (figures_.frame.size() < until) frame(true);
  }

  void drain() {
    while (!open_.empty()) frame(false);
    // The worker tells of a call's end before it frees what the call had.
    for (int i = 0; i < 6; ++i) frame(false);
  }

  llmcore::Client client_;
  std::size_t calls_;
  std::size_t frames_;
  llmcore::Client::Events events_;
  std::vector<llmcore::CallId> open_;
  Figures figures_;
  std::int64_t number_ = 0;
  std::int64_t tick_ = 0;
  Clock::time_point due_;
};

/// A play session that is recorded while nobody speaks: what each frame of it costs the game.
Figures recording(const std::string& directory, std::size_t frames) {
  Figures figures;
  std::string problem;
  auto session = llmcore::Session::record({}, directory, 1, problem);
  if (!session) {
    std::fprintf(stderr, "%s\n", problem.c_str());
    std::exit(1);
  }
  llmcore::Client::Events events;
  std::string world(kWorldBytes, 'w');
  auto due = Clock::now();
  for (std::size_t tick = 0; tick < frames; ++tick) {
    due += kFrame;
    world[tick % kWorldBytes] = static_cast<char>('a' + tick % 26);
    figures.frame.push_back(timed([&] {
      session->frame(static_cast<std::int64_t>(tick));
      for (int draw = 0; draw < kDraws; ++draw) session->below("dice", 6);
      session->poll(events);
      session->snapshot("world", world);
    }));
    std::this_thread::sleep_until(due);
  }
  if (!session->close(llmcore::kSecond)) std::exit(1);
  return figures;
}

/// The usual way: a thread that waits for each call, and a list of what came under a lock.
class Blocking {
 public:
  explicit Blocking(std::string url) : url_(std::move(url) + "/chat/completions") {}

  void submit(std::string body) {
    const std::lock_guard hold(mutex_);
    calls_.emplace_back();
    Call& call = calls_.back();
    call.owner = this;
    call.body = std::move(body);
    call.thread = std::thread([this, &call] { run(call); });
  }
  void cancel_oldest() {
    const std::lock_guard hold(mutex_);
    if (!calls_.empty()) calls_.front().given_up = true;
  }
  std::pair<std::int64_t, std::int64_t> poll() {
    std::vector<std::string> pieces;
    std::list<Call> over;
    {
      const std::lock_guard hold(mutex_);
      pieces.swap(pieces_);
      for (auto at = calls_.begin(); at != calls_.end();) {
        const auto next = std::next(at);
        if (at->over) over.splice(over.end(), calls_, at);
        at = next;
      }
    }
    for (Call& call : over) call.thread.join();
    return {static_cast<std::int64_t>(pieces.size()), static_cast<std::int64_t>(over.size())};
  }
  [[nodiscard]] std::size_t open() {
    const std::lock_guard hold(mutex_);
    return calls_.size();
  }
  /// There is no other way to stop a thread that reads than to tell it so and wait for its next bytes.
  void shutdown() {
    {
      const std::lock_guard hold(mutex_);
      for (Call& call : calls_) call.given_up = true;
    }
    while (open() != 0) {
      poll();
      std::this_thread::yield();
    }
  }

 private:
  struct Call {
    Blocking* owner = nullptr;
    std::string body;
    std::thread thread;
    std::atomic<bool> given_up{false};
    bool over = false;
  };

  static std::size_t on_data(char* bytes, std::size_t size, std::size_t count, void* user) {
    auto& call = *static_cast<Call*>(user);
    if (call.given_up) return 0;
    const std::lock_guard hold(call.owner->mutex_);
    call.owner->pieces_.emplace_back(bytes, size * count);
    return size * count;
  }
  void run(Call& call) {
    CURL* const easy = curl_easy_init();
    curl_slist* headers = curl_slist_append(nullptr, "content-type: application/json");
    curl_easy_setopt(easy, CURLOPT_URL, url_.c_str());
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call.body.c_str());
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &call);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_perform(easy);
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
    const std::lock_guard hold(mutex_);
    call.over = true;
  }

  std::string url_;
  std::mutex mutex_;
  std::list<Call> calls_;
  std::vector<std::string> pieces_;
};

Figures with_blocking(const std::string& url, std::size_t calls, std::size_t frames) {
  Figures figures;
  Blocking blocking(url);
  std::int64_t number = 0;
  auto due = Clock::now();
  for (std::size_t tick = 0; tick < frames; ++tick) {
    due += kFrame;
    double taken = 0;
    for (int i = 0; i < 2 && blocking.open() < calls; ++i) {
      std::string body = R"({"model":"m","stream":true,"messages":[{"role":"user","content":"What is new? )" +
                         std::to_string(number++) + "\"}]}";
      figures.submit.push_back(timed([&] { blocking.submit(std::move(body)); }));
      taken += figures.submit.back();
    }
    if (tick % kCancelEvery == kCancelEvery - 1) {
      figures.cancel.push_back(timed([&] { blocking.cancel_oldest(); }));
      taken += figures.cancel.back();
    }
    taken += timed([&] {
      const auto [pieces, over] = blocking.poll();
      figures.tokens += pieces;
      figures.answers += over;
    });
    figures.frame.push_back(taken);
    std::this_thread::sleep_until(due);
    figures.late_frames += Clock::now() - due > std::chrono::milliseconds(1) ? 1 : 0;
  }
  figures.shutdown_ms = timed([&] { blocking.shutdown(); }) / 1000;
  return figures;
}

std::string row(const char* name, Figures& figures) {
  char text[512];
  std::snprintf(
      text, sizeof text,
      R"({"name": "%s", "frame_us": {"p50": %.2f, "p99": %.2f, "max": %.1f}, "submit_us": {"p50": %.2f, "p99": %.2f, "max": %.1f}, )"
      R"("cancel_us": {"p50": %.2f, "max": %.1f}, "shutdown_ms": %.2f, "heap_growth_bytes": %lld, "libcurl_growth_bytes": %lld, "tokens": %lld, "answers": %lld, )"
      R"("failed": %lld, "late_frames": %lld})",
      name, percentile(figures.frame, 0.5), percentile(figures.frame, 0.99), percentile(figures.frame, 1),
      percentile(figures.submit, 0.5), percentile(figures.submit, 0.99), percentile(figures.submit, 1),
      percentile(figures.cancel, 0.5), percentile(figures.cancel, 1), figures.shutdown_ms,
      static_cast<long long>(figures.heap_growth), static_cast<long long>(figures.curl_growth),
      static_cast<long long>(figures.tokens), static_cast<long long>(figures.answers),
      static_cast<long long>(figures.failures), static_cast<long long>(figures.late_frames));
  return text;
}

void print(const char* name, Figures& figures) {
  std::printf(
      "%-22s frame p50 %7.1f us  p99 %7.1f us  max %8.1f us   submit p50 %6.2f us   cancel p50 %6.2f us   shutdown "
      "%8.2f ms   %lld tokens, %lld answers, %lld late frames\n",
      name, percentile(figures.frame, 0.5), percentile(figures.frame, 0.99), percentile(figures.frame, 1),
      percentile(figures.submit, 0.5), percentile(figures.cancel, 0.5), figures.shutdown_ms,
      static_cast<long long>(figures.tokens), static_cast<long long>(figures.answers),
      static_cast<long long>(figures.late_frames));
}

}  // namespace

int main(int count, char** arguments) {
  double seconds = 60;
  std::size_t calls = 100;
  std::string json;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    if (argument == "--quick") {
      seconds = 6;
    } else if (argument == "--seconds" && i + 1 < count) {
      seconds = std::atof(arguments[++i]);
    } else if (argument == "--calls" && i + 1 < count) {
      calls = static_cast<std::size_t>(std::atoi(arguments[++i]));
    } else if (argument == "--json" && i + 1 < count) {
      json = arguments[++i];
    } else {
      std::fprintf(stderr, "usage: %s [--quick] [--seconds N] [--calls N] [--json FILE]\n", arguments[0]);
      return 2;
    }
  }
  const bench::StreamingServer server(kTokens, kBetween);
  count_what_libcurl_takes();
  const auto frames = static_cast<std::size_t>(seconds * 60);
  std::printf("%zu frames at 60 a second, %zu calls in flight, %d tokens each\n", frames, calls, kTokens);
  Figures native = Native(server.url(), calls, frames).play();
  print("llmcore", native);
  std::printf("%-22s heap %+lld B, libcurl's %+lld B: in use at the end, against what was after a third of the time\n",
              "", static_cast<long long>(native.heap_growth), static_cast<long long>(native.curl_growth));
  const auto directory = std::filesystem::temp_directory_path() / ("llmcore_frame_loop." + std::to_string(::getpid()));
  Figures recorded = recording(directory.string(), frames / 6);
  std::filesystem::remove_all(directory);
  std::printf("%-22s frame p50 %7.1f us  p99 %7.1f us  max %8.1f us\n", "recording, quiet",
              percentile(recorded.frame, 0.5), percentile(recorded.frame, 0.99), percentile(recorded.frame, 1));
  Figures blocking = with_blocking(server.url(), calls, frames);
  print("libcurl, a thread each", blocking);
  if (!json.empty())
    std::ofstream(json) << "[" << row("llmcore", native) << ",\n " << row("libcurl, a thread for each call", blocking)
                        << "]\n";
  return native.failures > static_cast<std::int64_t>(native.cancel.size()) ? 1 : 0;
}
