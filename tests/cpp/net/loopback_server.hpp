// A server on the loopback of which a test decides each byte and each moment. No thread: the test's own loop lets the
// transport work and looks here in between, so that nothing depends on who is faster.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace llmcore::net {

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) noexcept : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket() { close(); }
  void close() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// One connection from the server's side.
class Peer {
 public:
  Peer() = default;
  explicit Peer(Socket socket) noexcept : socket_(std::move(socket)) {}

  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(socket_); }

  [[nodiscard]] int fd() const noexcept { return socket_.fd(); }
  /// Reads what has come; whether a whole request is there.
  bool reads_request() {
    read_all();
    const std::size_t end = received_.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    std::size_t length = 0;
    if (const std::size_t at = received_.find("Content-Length: "); at != std::string::npos && at < end) {
      length = std::stoul(received_.substr(at + 16));
    }
    return received_.size() >= end + 4 + length;
  }
  /// Reads what has come; whether the other side has closed.
  bool sees_end() {
    read_all();
    return ended_;
  }
  /// What has come, taken.
  std::string take() { return std::exchange(received_, {}); }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  void answer(std::string_view body, std::string_view headers = "", int status = 200) {
    send("HTTP/1.1 " + std::to_string(status) + " Said\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(headers) + "\r\n" + std::string(body));
  }
  void close() noexcept { socket_.close(); }
  /// Ends the connection as a crash does.
  void reset() noexcept {
    const linger at_once{1, 0};
    ::setsockopt(socket_.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    socket_.close();
  }

 private:
  void read_all() {
    char buffer[4096];
    for (;;) {
      const ssize_t got = ::recv(socket_.fd(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (got == 0) ended_ = true;
      if (got < 0 && errno != EAGAIN && errno != EINTR) ended_ = true;
      if (got <= 0) return;
      received_.append(buffer, static_cast<std::size_t>(got));
    }
  }
  Socket socket_;
  std::string received_;
  bool ended_ = false;
};

class LoopbackServer {
 public:
  /// On a port of its own, or on that of a server that was closed.
  explicit LoopbackServer(std::uint16_t port = 0, const char* host = "127.0.0.1")
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int yes = 1;
    ::setsockopt(socket_.fd(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = ::inet_addr(host);
    socklen_t size = sizeof address;
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    if (!socket_ || ::bind(socket_.fd(), plain, size) != 0 || ::listen(socket_.fd(), 256) != 0 ||
        ::getsockname(socket_.fd(), plain, &size) != 0 || ::fcntl(socket_.fd(), F_SETFL, O_NONBLOCK) != 0) {
      throw std::runtime_error("no loopback server");
    }
    port_ = ntohs(address.sin_port);
  }

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] std::string url(std::string_view path = "/v1/chat/completions") const {
    return "http://" + address() + std::string(path);
  }
  /// The next connection, if one waits.
  Peer accept() { return Peer(Socket(::accept4(socket_.fd(), nullptr, nullptr, SOCK_CLOEXEC))); }
  [[nodiscard]] int fd() const noexcept { return socket_.fd(); }
  /// Nobody can connect any more.
  void close() noexcept { socket_.close(); }

 private:
  Socket socket_;
  std::uint16_t port_ = 0;
};

}  // namespace llmcore::net
