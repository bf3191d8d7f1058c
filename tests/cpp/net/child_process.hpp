// A program that a test starts, talks to and ends.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "loopback_server.hpp"

extern char** environ;

namespace llmcore::net {

class ChildProcess {
 public:
  ChildProcess() = default;
  /// Its standard input and output are pipes, and its standard error is nowhere. False of an object whose program is not
  /// on this machine.
  explicit ChildProcess(const std::vector<std::string>& arguments) {
    int in[2];
    int out[2];
    if (::pipe2(in, O_CLOEXEC) != 0) return;
    Socket theirs_in(in[0]);
    in_ = Socket(in[1]);
    if (::pipe2(out, O_CLOEXEC) != 0) return;
    out_ = Socket(out[0]);
    Socket theirs_out(out[1]);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, theirs_in.fd(), 0);
    ::posix_spawn_file_actions_adddup2(&actions, theirs_out.fd(), 1);
    ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    std::vector<char*> given;
    given.reserve(arguments.size() + 1);
    for (const std::string& argument : arguments) given.push_back(const_cast<char*>(argument.c_str()));
    given.push_back(nullptr);
    if (::posix_spawnp(&pid_, given[0], &actions, nullptr, given.data(), environ) != 0) pid_ = -1;
    ::posix_spawn_file_actions_destroy(&actions);
  }
  ChildProcess(ChildProcess&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)),
        in_(std::move(other.in_)),
        out_(std::move(other.out_)),
        said_(std::move(other.said_)) {}
  ChildProcess& operator=(ChildProcess&& other) noexcept {
    std::swap(pid_, other.pid_);
    std::swap(in_, other.in_);
    std::swap(out_, other.out_);
    std::swap(said_, other.said_);
    return *this;
  }
  ~ChildProcess() { kill(); }

  [[nodiscard]] explicit operator bool() const noexcept { return pid_ > 0; }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  void kill() noexcept {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, -1), nullptr, 0);
  }
  /// Waits until it ends of itself; its exit code, or -1.
  int wait() noexcept {
    int status = 0;
    return pid_ > 0 && ::waitpid(std::exchange(pid_, -1), &status, 0) > 0 && WIFEXITED(status) ? WEXITSTATUS(status)
                                                                                               : -1;
  }
  void write(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t wrote = ::write(in_.fd(), text.data(), text.size());
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return;
      text.remove_prefix(static_cast<std::size_t>(wrote));
    }
  }
  /// What it has said up to now; waits so many milliseconds for more.
  const std::string& said(int wait_ms = 0) {
    pollfd polled{out_.fd(), POLLIN, 0};
    char buffer[4096];
    while (::poll(&polled, 1, wait_ms) > 0 && (polled.revents & (POLLIN | POLLHUP)) != 0) {
      const ssize_t got = ::read(out_.fd(), buffer, sizeof buffer);
      if (got <= 0) break;
      said_.append(buffer, static_cast<std::size_t>(got));
      wait_ms = 0;
    }
    return said_;
  }
  void forget_what_it_said() { said_.clear(); }

 private:
  pid_t pid_ = -1;
  Socket in_;
  Socket out_;
  std::string said_;
};

}  // namespace llmcore::net
