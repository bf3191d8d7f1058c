// Two servers with a model behind Chat Completions, of which a test decides what they are up to. The test's own loop looks
// after them: neither has a thread.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "child_process.hpp"
#include "loopback_server.hpp"

namespace llmcore::net {

inline constexpr std::string_view kWords = "The bridge is safe.";

/// A stream's next event, in a chunk of its own; its head with the first; and the rest of it.
inline std::string chunk(const std::string& bytes) {
  char size[24];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + bytes + "\r\n";
}
inline std::string stream_goes_on(std::string_view words) {
  return chunk(R"(data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":")" + std::string(words) +
               "\"}}]}\n\n");
}
inline std::string stream_begins(std::string_view words = "The bridge") {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" +
         stream_goes_on(words);
}
inline std::string stream_ends() {
  const std::string events =
      R"(data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":" is safe."},"finish_reason":"stop"}]})"
      "\n\n"
      R"(data: {"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}})"
      "\n\ndata: [DONE]\n\n";
  return chunk(events) + "0\r\n\r\n";
}

class ModelServer {
 public:
  enum class Mood : std::uint8_t {
    answers,
    begins,  // an answer, and then says no more
    stalls,  // takes the request, and says nothing
    speaks_no_tls,
  };
  Mood mood = Mood::answers;

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  /// Requests that came whole.
  [[nodiscard]] int asked() const noexcept { return asked_; }
  /// Answers that were begun and have not ended.
  [[nodiscard]] std::size_t open() const noexcept { return begun_.size(); }

  void work() {
    if (!server_) return;
    while (Peer peer = server_->accept()) waiting_.push_back(std::move(peer));
    for (std::size_t i = 0; i < waiting_.size();) {
      Peer& peer = waiting_[i];
      const bool whole = peer.reads_request();
      bool gone = peer.sees_end();
      if (!gone && mood == Mood::speaks_no_tls && !peer.take().empty()) {
        peer.send("HTTP/1.1 400 this is no TLS\r\n\r\n");
        gone = true;
      } else if (!gone && whole) {
        (void)peer.take();
        ++asked_;
        if (mood != Mood::stalls) peer.send(stream_begins());
        if (mood == Mood::answers) {
          peer.send(stream_ends());
        } else {
          begun_.push_back(std::move(peer));
          gone = true;
        }
      }
      if (!gone) {
        ++i;
        continue;
      }
      if (&peer != &waiting_.back()) peer = std::move(waiting_.back());
      waiting_.pop_back();
    }
    std::erase_if(begun_, [](Peer& peer) { return peer.sees_end(); });
  }

  /// What becomes of connections when a process is killed: nobody listens, and what was open is reset.
  void kill() {
    server_.reset();
    for (Peer& peer : waiting_) peer.reset();
    for (Peer& peer : begun_) peer.reset();
    waiting_.clear();
    begun_.clear();
  }
  void restart() {
    server_.emplace(port_);
    mood = Mood::answers;
  }

 private:
  std::optional<LoopbackServer> server_{std::in_place};
  std::uint16_t port_ = server_->port();
  std::vector<Peer> waiting_;
  std::vector<Peer> begun_;
  int asked_ = 0;
};

/// A certificate for a name or an address that nobody signed but itself.
class Certificate {
 public:
  explicit Certificate(const std::string& of) {
    char folder[] = "/tmp/llmcore_tls_XXXXXX";
    if (::mkdtemp(folder) == nullptr) return;
    folder_ = folder;
    ChildProcess made({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                       "-days", "2", "-subj", "/CN=llmcore", "-addext", "subjectAltName=" + of, "-keyout", key(),
                       "-out", file()});
    usable_ = made && made.wait() == 0;
  }
  ~Certificate() {
    for (const std::string& name : {key(), file(), folder_}) {
      if (!folder_.empty()) std::remove(name.c_str());
    }
  }
  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;

  /// False where there is no openssl.
  [[nodiscard]] bool usable() const noexcept { return usable_; }
  [[nodiscard]] std::string file() const { return folder_ + "/certificate.pem"; }
  [[nodiscard]] std::string key() const { return folder_ + "/key.pem"; }

 private:
  std::string folder_;
  bool usable_ = false;
};

/// openssl's server, which leaves what is said to us: one connection after the other.
class TlsServer {
 public:
  explicit TlsServer(const Certificate& certificate, std::uint16_t port = 0)
      : process_({"openssl", "s_server", "-accept", "127.0.0.1:" + std::to_string(port), "-cert", certificate.file(),
                  "-key", certificate.key()}) {
    constexpr int kPatience = 200;
    for (int i = 0; process_ && i < kPatience && port_ == 0; ++i) {
      const std::string& said = process_.said(50);
      const std::size_t at = said.find("ACCEPT");
      if (at == said.npos || said.find('\n', at) == said.npos) continue;
      const std::size_t named = said.find("127.0.0.1:", at);  // where it was its choice
      port_ = named == said.npos ? port : static_cast<std::uint16_t>(std::stoi(said.substr(named + 10)));
    }
    process_.forget_what_it_said();
  }

  /// 0: it did not start.
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

  void work() {
    const std::string& said = process_.said();
    const std::size_t head = said.find("\r\n\r\n");
    if (head == said.npos || said.find("POST ") == said.npos) return;
    const std::size_t length = said.find("Content-Length: ");
    if (length == said.npos || said.size() < head + 4 + std::stoul(said.substr(length + 16))) return;
    process_.forget_what_it_said();
    process_.write(stream_begins() + stream_ends());
  }

 private:
  ChildProcess process_;
  std::uint16_t port_ = 0;
};

}  // namespace llmcore::net
