#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "llmcore/io/file.hpp"

namespace llmcore::io {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirectoryMode = 0700;

FileError failure(const char* operation, std::string path) { return {errno, operation, std::move(path)}; }

/// A system call again and again while signals interrupt it.
template <typename Call>
auto retried(Call&& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

class PosixFile final : public File {
 public:
  PosixFile(int descriptor, std::string path) noexcept : descriptor_(descriptor), path_(std::move(path)) {}
  ~PosixFile() override { ::close(descriptor_); }

  Result<std::size_t> write(std::string_view bytes) override {
    const ssize_t written = retried([&] { return ::write(descriptor_, bytes.data(), bytes.size()); });
    if (written < 0) return failure("write", path_);
    return static_cast<std::size_t>(written);
  }

  Result<std::size_t> read(std::uint64_t offset, char* to, std::size_t size) override {
    std::size_t have = 0;
    while (have < size) {
      const auto at = static_cast<off_t>(offset + have);
      const ssize_t got = retried([&] { return ::pread(descriptor_, to + have, size - have, at); });
      if (got < 0) return failure("read", path_);
      if (got == 0) break;
      have += static_cast<std::size_t>(got);
    }
    return have;
  }

  Result<std::uint64_t> size() override {
    struct stat status{};
    if (::fstat(descriptor_, &status) != 0) return failure("look at", path_);
    return static_cast<std::uint64_t>(status.st_size);
  }

  FileError truncate(std::uint64_t size) override {
    if (retried([&] { return ::ftruncate(descriptor_, static_cast<off_t>(size)); }) != 0) {
      return failure("shorten", path_);
    }
    return {};
  }

  FileError sync() override {
#if defined(__APPLE__)
    // fsync() there stops at the drive's own cache.
    if (::fcntl(descriptor_, F_FULLFSYNC) == 0) return {};
#endif
    // Never again after a failure, EINTR included: the system may have forgotten what it could not write.
    if (::fsync(descriptor_) != 0) return failure("sync", path_);
    return {};
  }

 private:
  int descriptor_;
  std::string path_;
};

class PosixLock;

/// All locks of this process, for the child of a fork to let go of: an inherited descriptor would hold the parent's
/// lock for as long as the child lives, and nobody could adopt what the parent left behind.
class Locks {
 public:
  static Locks& instance() {
    static Locks locks;
    return locks;
  }
  void add(PosixLock& lock) {
    const std::lock_guard hold(mutex_);
    all_.push_back(&lock);
  }
  void remove(PosixLock& lock) {
    const std::lock_guard hold(mutex_);
    std::erase(all_, &lock);
  }

 private:
  Locks() {
    pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                   [] {
                     instance().close_all();
                     instance().mutex_.unlock();
                   });
  }
  void close_all() noexcept;

  std::mutex mutex_;
  std::vector<PosixLock*> all_;
};

class PosixLock final : public FileLock {
 public:
  explicit PosixLock(int descriptor) : descriptor_(descriptor) { Locks::instance().add(*this); }
  ~PosixLock() override {
    Locks::instance().remove(*this);
    close();
  }
  void close() noexcept {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
  }

 private:
  int descriptor_;
};

void Locks::close_all() noexcept {
  for (PosixLock* lock : all_) lock->close();
}

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> create(const std::string& path) override {
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL, "create");
  }
  Result<std::unique_ptr<File>> open_append(const std::string& path) override {
    return open(path, O_RDWR | O_APPEND, "open");
  }
  Result<std::unique_ptr<File>> open_read(const std::string& path) override { return open(path, O_RDONLY, "open"); }

  Result<std::vector<std::string>> list(const std::string& directory) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> handle(::opendir(directory.c_str()), &::closedir);
    if (handle == nullptr) return failure("list", directory);
    std::vector<std::string> names;
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(handle.get());
      if (entry == nullptr) break;
      std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(std::move(name));
    }
    if (errno != 0) return failure("list", directory);
    return names;
  }

  FileError make_directory(const std::string& path) override {
    // Those above it first; one that is there already says so, whoever made it.
    for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
      const std::string part = path.substr(0, end);
      if (::mkdir(part.c_str(), kDirectoryMode) != 0 && errno != EEXIST) {
        if (end == std::string::npos || errno != EROFS) return failure("make the directory", part);
      }
      if (end == std::string::npos) break;
    }
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) return failure("look at", path);
    if (!S_ISDIR(status.st_mode)) return {ENOTDIR, "make the directory", path};
    return {};
  }

  FileError rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return failure("rename", from);
    return {};
  }

  FileError remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return failure("remove", path);
    return {};
  }

  FileError sync_directory(const std::string& path) override {
    const int descriptor = retried([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (descriptor < 0) return failure("open", path);
    FileError error;
    // A file system that cannot sync a directory keeps its entries in order by other means.
    if (::fsync(descriptor) != 0 && errno != EINVAL) error = failure("sync", path);
    ::close(descriptor);
    return error;
  }

  Result<std::unique_ptr<FileLock>> try_lock(const std::string& path) override {
    for (;;) {
      const int descriptor = retried([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode); });
      if (descriptor < 0) return failure("open", path);
      if (retried([&] { return ::flock(descriptor, LOCK_EX | LOCK_NB); }) != 0) {
        FileError error = failure("lock", path);
        ::close(descriptor);
        return error;
      }
      // Whoever held it may have removed the file in the meantime: then this is the lock of nothing.
      struct stat mine{};
      struct stat there{};
      if (::fstat(descriptor, &mine) == 0 && ::stat(path.c_str(), &there) == 0 && mine.st_ino == there.st_ino &&
          mine.st_dev == there.st_dev) {
        return std::unique_ptr<FileLock>(std::make_unique<PosixLock>(descriptor));
      }
      ::close(descriptor);
    }
  }

 private:
  static Result<std::unique_ptr<File>> open(const std::string& path, int flags, const char* operation) {
    const int descriptor = retried([&] { return ::open(path.c_str(), flags | O_CLOEXEC, kFileMode); });
    if (descriptor < 0) return failure(operation, path);
    return std::unique_ptr<File>(std::make_unique<PosixFile>(descriptor, path));
  }
};

}  // namespace

bool FileError::is_full() const noexcept { return code == ENOSPC || code == EDQUOT; }
bool FileError::is_exists() const noexcept { return code == EEXIST; }
bool FileError::is_missing() const noexcept { return code == ENOENT; }
bool FileError::is_locked() const noexcept { return code == EWOULDBLOCK || code == EAGAIN; }

std::string FileError::message() const {
  if (code == 0) return "no error";
  return std::string("cannot ") + operation + " " + path + ": " + std::generic_category().message(code);
}

FileSystem& system_files() noexcept {
  static PosixFileSystem files;
  return files;
}

}  // namespace llmcore::io
