// Directories to throw away, files that fail on command, and a machine whose power can be cut.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llmcore/io/file.hpp"
#include "llmcore/io/journal.hpp"

namespace llmcore::io {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    static std::atomic<int> count{0};
    std::string test = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::replace(test.begin(), test.end(), '/', '-');
    path_ = std::filesystem::temp_directory_path() /
            ("llmcore-" + test + "-" + std::to_string(std::random_device{}()) + "-" + std::to_string(++count));
    std::filesystem::remove_all(path_);
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] std::string path() const { return path_.string(); }
  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
inline void overwrite(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// The system's files, where every operation can be made to fail, and which knows what a power cut would leave.
class FaultyFiles final : public FileSystem {
 public:
  struct Fault {
    int code = 0;            ///< errno; 0: none
    std::size_t first = 0;   ///< bytes that a failing or short write writes all the same
    bool shortened = false;  ///< the write succeeds with `first` bytes
    explicit operator bool() const { return code != 0; }
  };
  /// Asked before each operation ("create", "write", "sync", ...), under a lock.
  std::function<Fault(std::string_view operation, const std::string& path, std::size_t bytes)> on;

  Result<std::unique_ptr<File>> create(const std::string& path) override {
    if (const Fault fault = ask("create", path)) return FileError{fault.code, "create", path};
    auto made = system_files().create(path);
    if (!made) return made.error();
    return wrap(std::move(*made), path);
  }
  Result<std::unique_ptr<File>> open_append(const std::string& path) override {
    if (const Fault fault = ask("open", path)) return FileError{fault.code, "open", path};
    auto opened = system_files().open_append(path);
    if (!opened) return opened.error();
    return wrap(std::move(*opened), path);
  }
  Result<std::unique_ptr<File>> open_read(const std::string& path) override {
    if (const Fault fault = ask("open", path)) return FileError{fault.code, "open", path};
    auto opened = system_files().open_read(path);
    if (!opened) return opened.error();
    return wrap(std::move(*opened), path);
  }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    return system_files().list(directory);
  }
  FileError make_directory(const std::string& path) override { return system_files().make_directory(path); }
  FileError rename(const std::string& from, const std::string& to) override { return system_files().rename(from, to); }
  FileError remove(const std::string& path) override {
    if (const Fault fault = ask("remove", path)) return {fault.code, "remove", path};
    return system_files().remove(path);
  }
  FileError sync_directory(const std::string& path) override {
    // What is there when the system is asked is what it brings to the disk.
    std::set<std::string> there;
    for (const auto& entry : std::filesystem::directory_iterator(path)) there.insert(entry.path().string());
    if (const Fault fault = ask("sync directory", path)) return {fault.code, "sync", path};
    const std::lock_guard hold(mutex_);
    durable_names_.insert(there.begin(), there.end());
    return {};
  }
  Result<std::unique_ptr<FileLock>> try_lock(const std::string& path) override { return system_files().try_lock(path); }

  /// Leaves of a directory what was brought to the disk and nothing else.
  void cut_power(const std::string& directory) {
    const std::lock_guard hold(mutex_);
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
      const std::string path = entry.path().string();
      const auto size = durable_sizes_.find(path);
      if (!durable_names_.contains(path)) {
        std::filesystem::remove(path);
      } else if (std::filesystem::file_size(path) > (size != durable_sizes_.end() ? size->second : 0)) {
        std::filesystem::resize_file(path, size != durable_sizes_.end() ? size->second : 0);
      }
    }
  }

 private:
  Fault ask(std::string_view operation, const std::string& path, std::size_t bytes = 0) {
    const std::lock_guard hold(mutex_);
    return on ? on(operation, path, bytes) : Fault{};
  }

  class Wrapped final : public File {
   public:
    Wrapped(FaultyFiles& files, std::unique_ptr<File> file, std::string path)
        : files_(files), file_(std::move(file)), path_(std::move(path)) {}
    Result<std::size_t> write(std::string_view bytes) override {
      const Fault fault = files_.ask("write", path_, bytes.size());
      if (!fault && !fault.shortened) return file_->write(bytes);
      const auto wrote = file_->write(bytes.substr(0, fault.first));
      if (!wrote) return wrote.error();
      if (fault.shortened) return fault.first;
      return FileError{fault.code, "write", path_};
    }
    Result<std::size_t> read(std::uint64_t offset, char* to, std::size_t size) override {
      if (const Fault fault = files_.ask("read", path_, size)) return FileError{fault.code, "read", path_};
      return file_->read(offset, to, size);
    }
    Result<std::uint64_t> size() override { return file_->size(); }
    FileError truncate(std::uint64_t size) override {
      if (const Fault fault = files_.ask("truncate", path_)) return {fault.code, "truncate", path_};
      return file_->truncate(size);
    }
    FileError sync() override {
      const auto size = file_->size();
      if (const Fault fault = files_.ask("sync", path_)) return {fault.code, "sync", path_};
      const std::lock_guard hold(files_.mutex_);
      files_.durable_sizes_[path_] = std::max(files_.durable_sizes_[path_], *size);
      return {};
    }

   private:
    FaultyFiles& files_;
    std::unique_ptr<File> file_;
    std::string path_;
  };
  std::unique_ptr<File> wrap(std::unique_ptr<File> file, const std::string& path) {
    return std::make_unique<Wrapped>(*this, std::move(file), path);
  }

  std::mutex mutex_;
  std::map<std::string, std::uint64_t> durable_sizes_;
  std::set<std::string> durable_names_;
};

struct ReadRecord {
  std::uint64_t seq = 0;
  std::uint16_t kind = 0;
  std::string payload;
  friend bool operator==(const ReadRecord&, const ReadRecord&) = default;
};

inline std::vector<ReadRecord> drain(JournalReader& reader) {
  std::vector<ReadRecord> all;
  while (reader.next() == JournalReader::Next::record) {
    all.push_back({reader.record().seq, reader.record().kind, std::string(reader.record().payload)});
  }
  return all;
}

/// Everything in a journal that has to be without a problem.
inline std::vector<ReadRecord> read_clean(const std::string& directory) {
  auto reader = JournalReader::open({.directory = directory});
  if (!reader) {
    ADD_FAILURE() << reader.error().message();
    return {};
  }
  std::vector<ReadRecord> all = drain(**reader);
  for (const JournalProblem& problem : (*reader)->problems()) {
    ADD_FAILURE() << "segment " << problem.segment << " at " << problem.offset << ": " << to_string(problem.what);
  }
  return all;
}

inline std::unique_ptr<JournalWriter> open_writer(JournalConfig config, FileSystem& files = system_files()) {
  auto writer = JournalWriter::open(std::move(config), files);
  if (!writer) {
    ADD_FAILURE() << writer.error().message();
    return nullptr;
  }
  return std::move(*writer);
}

inline std::string segment_name(int number) {
  const std::string digits = std::to_string(number);
  return std::string(20 - digits.size(), '0') + digits + ".journal";
}

inline std::string payload_of(std::uint64_t i) {
  std::string text = "record " + std::to_string(i) + " ";
  text.append(i % 97, static_cast<char>('a' + i % 26));
  return text;
}

inline std::uint64_t append(JournalWriter& writer, std::uint64_t i) {
  const auto seq = writer.append(static_cast<std::uint16_t>(i % 7), payload_of(i));
  EXPECT_TRUE(seq) << seq.error().message();
  return seq ? *seq : 0;
}

/// Records first .. last, with sequence numbers that are the same.
inline void expect_records(const std::vector<ReadRecord>& records, std::uint64_t first, std::uint64_t last) {
  ASSERT_EQ(records.size(), last - first + 1);
  for (std::uint64_t i = first; i <= last; ++i) {
    ASSERT_EQ(records[i - first], (ReadRecord{i, static_cast<std::uint16_t>(i % 7), payload_of(i)}));
  }
}

}  // namespace llmcore::io
