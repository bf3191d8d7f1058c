// The few things a journal asks of a file system, so that a test can stand in its way.
//
// Everything that depends on the platform is in cpp/src/io/file_*.cpp. Errors are values. A File is used by one thread
// at a time, except sync(), which may run beside the others; a FileSystem is thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llmcore::io {

/// What the system refused. Code 0 means that nothing went wrong.
struct FileError {
  int code = 0;                ///< errno
  const char* operation = "";  ///< what was tried, as a verb: "write"
  std::string path;

  [[nodiscard]] explicit operator bool() const noexcept { return code != 0; }
  /// No room is left, or no more is allowed: it may work again later.
  [[nodiscard]] bool is_full() const noexcept;
  [[nodiscard]] bool is_exists() const noexcept;
  [[nodiscard]] bool is_missing() const noexcept;
  /// Somebody else holds the lock.
  [[nodiscard]] bool is_locked() const noexcept;
  [[nodiscard]] std::string message() const;
};

/// A value or why there is none.
template <typename T, typename Error = FileError>
class Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Error error) : error_(std::move(error)) {}

  [[nodiscard]] explicit operator bool() const noexcept { return value_.has_value(); }
  [[nodiscard]] T& operator*() noexcept { return *value_; }
  [[nodiscard]] const T& operator*() const noexcept { return *value_; }
  [[nodiscard]] T* operator->() noexcept { return &*value_; }
  [[nodiscard]] const T* operator->() const noexcept { return &*value_; }
  [[nodiscard]] const Error& error() const noexcept { return error_; }

 private:
  std::optional<T> value_;
  Error error_;
};

/// An open file.
class File {
 public:
  File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  virtual ~File() = default;

  /// Appends; may write less than asked, and says how much. 0 only for no bytes.
  [[nodiscard]] virtual Result<std::size_t> write(std::string_view bytes) = 0;
  /// Reads at `offset`; fewer bytes than asked only at the end of the file.
  [[nodiscard]] virtual Result<std::size_t> read(std::uint64_t offset, char* to, std::size_t size) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> size() = 0;
  [[nodiscard]] virtual FileError truncate(std::uint64_t size) = 0;
  /// Returns when everything written before is on the disk.
  [[nodiscard]] virtual FileError sync() = 0;
};

/// Held until it is destroyed or the process ends. A forked child does not inherit it.
class FileLock {
 public:
  FileLock() = default;
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  virtual ~FileLock() = default;
};

class FileSystem {
 public:
  FileSystem() = default;
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;
  virtual ~FileSystem() = default;

  /// Makes a new file (0600) to append to; fails if there is one.
  [[nodiscard]] virtual Result<std::unique_ptr<File>> create(const std::string& path) = 0;
  /// Opens an existing file to append to and to truncate.
  [[nodiscard]] virtual Result<std::unique_ptr<File>> open_append(const std::string& path) = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<File>> open_read(const std::string& path) = 0;
  /// Names of what a directory holds, in no order.
  [[nodiscard]] virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;
  /// Makes a directory (0700) and those above it; fine if it is there.
  [[nodiscard]] virtual FileError make_directory(const std::string& path) = 0;
  /// Atomic; replaces what stands at `to`.
  [[nodiscard]] virtual FileError rename(const std::string& from, const std::string& to) = 0;
  [[nodiscard]] virtual FileError remove(const std::string& path) = 0;
  /// Returns when the directory's entries are on the disk.
  [[nodiscard]] virtual FileError sync_directory(const std::string& path) = 0;
  /// Takes the lock that the file at `path` stands for (made if need be); is_locked() if another holds it, in this
  /// process or in any other. Never waits.
  [[nodiscard]] virtual Result<std::unique_ptr<FileLock>> try_lock(const std::string& path) = 0;
};

/// The system's own. Stateless.
[[nodiscard]] FileSystem& system_files() noexcept;

}  // namespace llmcore::io
