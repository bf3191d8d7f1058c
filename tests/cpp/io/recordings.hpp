// Directories with recordings in them: written, read, run again, compared.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "llmcore/io/replay.hpp"

namespace llmcore::io {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "llmcore-replay-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { fs::remove_all(path_); }
  [[nodiscard]] std::string operator/(const std::string& name) const { return (fs::path(path_) / name).string(); }

 private:
  std::string path_;
};

inline std::unique_ptr<ReplayLogger> logger_in(const std::string& directory, bool engine = true) {
  auto opened = ReplayLogger::open({directory, Ack::memory, engine, "llmcore test"});
  EXPECT_TRUE(opened) << opened.error().message();
  return std::move(*opened);
}

inline std::unique_ptr<RecordingReader> reader_of(const std::string& directory) {
  auto opened = RecordingReader::open(directory);
  EXPECT_TRUE(opened) << opened.error().message();
  return std::move(*opened);
}

inline std::vector<RecordedEvent> events_in(const std::string& directory) {
  std::vector<RecordedEvent> events;
  const auto reader = reader_of(directory);
  while (const RecordedEvent* event = reader->next()) events.push_back(*event);
  EXPECT_EQ(reader->problem(), "");
  return events;
}

inline void record_all(const std::vector<RecordedEvent>& events, const std::string& directory) {
  const auto logger = logger_in(directory);
  for (const RecordedEvent& event : events) {
    const char* problem = logger->append(event);
    ASSERT_EQ(problem, nullptr) << problem;
  }
  EXPECT_EQ(logger->close(), nullptr);
}

inline std::string told(const std::optional<Divergence>& divergence) {
  return divergence ? divergence->message() : "none";
}

inline std::string compared(const std::string& expected, const std::string& got, std::set<RecordKind> kinds = {}) {
  const auto one = reader_of(expected);
  const auto other = reader_of(got);
  const ReplayValidator::Report report = ReplayValidator(std::move(kinds)).compare(*one, *other);
  return report.problem.empty() ? told(report.divergence) : report.problem;
}

inline ReplayReport replayed(const std::string& directory) { return replay(*reader_of(directory)); }

}  // namespace llmcore::io
