// A model that streams, on loopback: a process of its own, so that what it costs is not counted with the game.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <unordered_map>
#include <vector>

namespace bench {

/// Answers every POST with a stream of `tokens` events of Chat Completions, one each `between`.
class StreamingServer {
 public:
  StreamingServer(int tokens, std::chrono::milliseconds between) : tokens_(tokens), between_(between) {
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const int yes = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener, 1024) != 0 ||
        ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      std::perror("no server on loopback");
      std::exit(1);
    }
    port_ = ntohs(address.sin_port);
    child_ = ::fork();
    if (child_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      serve(listener);
    }
    ::close(listener);
  }
  ~StreamingServer() {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  StreamingServer(const StreamingServer&) = delete;
  StreamingServer& operator=(const StreamingServer&) = delete;

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/v1"; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Connection {
    std::string read;
    int told = -1;  // tokens of the answer that runs; -1: none does
    Clock::time_point next;
  };

  static std::string chunk(const std::string& body) {
    char size[32];
    std::snprintf(size, sizeof size, "%zx\r\n", body.size());
    return size + body + "\r\n";
  }

  static bool say(int socket, const std::string& bytes) {
    return ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }

  [[noreturn]] void serve(int listener) const {
    const std::string head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    const std::string token =
        chunk("data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"}}]}\n\n");
    const std::string end =
        chunk(
            "data: "
            "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
            "data: "
            "{\"id\":\"c\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":40,"
            "\"total_tokens\":60}}\n\ndata: [DONE]\n\n") +
        "0\r\n\r\n";
    std::unordered_map<int, Connection> connections;
    for (;;) {
      std::vector<pollfd> polled{{listener, POLLIN, 0}};
      for (const auto& [socket, connection] : connections) polled.push_back({socket, POLLIN, 0});
      ::poll(polled.data(), polled.size(), 2);
      const auto now = Clock::now();
      if (polled[0].revents != 0) {
        const int accepted = ::accept(listener, nullptr, nullptr);
        const int yes = 1;
        ::setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        if (accepted >= 0) connections.emplace(accepted, Connection{});
      }
      for (std::size_t i = 1; i < polled.size(); ++i) {
        if (polled[i].revents == 0) continue;
        char buffer[16384];
        const ssize_t got = ::recv(polled[i].fd, buffer, sizeof buffer, MSG_DONTWAIT);
        Connection& connection = connections[polled[i].fd];
        if (got <= 0) {
          ::close(polled[i].fd);
          connections.erase(polled[i].fd);
          continue;
        }
        connection.read.append(buffer, static_cast<std::size_t>(got));
        const std::size_t body = connection.read.find("\r\n\r\n");
        if (body == std::string::npos) continue;
        std::size_t length = 0;
        for (const char* name : {"Content-Length: ", "content-length: "}) {
          const std::size_t at = connection.read.find(name);
          if (at != std::string::npos && at < body) length = std::stoul(connection.read.substr(at + 16));
        }
        if (connection.read.size() < body + 4 + length) continue;
        connection.read.erase(0, body + 4 + length);
        connection.told = 0;
        connection.next = now + between_;
        say(polled[i].fd, head);
      }
      for (auto at = connections.begin(); at != connections.end();) {
        Connection& connection = at->second;
        bool alive = true;
        while (alive && connection.told >= 0 && connection.next <= now) {
          connection.next += between_;
          alive = say(at->first, connection.told < tokens_ ? token : end);
          connection.told = connection.told < tokens_ ? connection.told + 1 : -1;
        }
        if (alive) {
          ++at;
        } else {
          ::close(at->first);
          at = connections.erase(at);
        }
      }
    }
  }

  int tokens_;
  std::chrono::milliseconds between_;
  int port_ = 0;
  pid_t child_ = -1;
};

}  // namespace bench
