// Windows. A new file gets the rights of its directory; errors are told as the errno that means the same.
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "llmcore/io/file.hpp"

namespace llmcore::io {
namespace {

int errno_of(DWORD error) noexcept {
  switch (error) {
    case ERROR_SUCCESS: return 0;
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_NAME:
    case ERROR_BAD_PATHNAME: return ENOENT;
    case ERROR_FILE_EXISTS:
    case ERROR_ALREADY_EXISTS: return EEXIST;
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL: return ENOSPC;
    case ERROR_LOCK_VIOLATION:
    case ERROR_IO_PENDING: return EAGAIN;
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION: return EACCES;
    case ERROR_DIRECTORY: return ENOTDIR;
    case ERROR_TOO_MANY_OPEN_FILES: return EMFILE;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY: return ENOMEM;
    case ERROR_WRITE_PROTECT: return EROFS;
    default: return EIO;
  }
}

FileError failure(const char* operation, std::string path) {
  return {errno_of(GetLastError()), operation, std::move(path)};
}

/// A path of UTF-8 as Windows takes it; empty where it is none.
std::wstring wide(const std::string& path) {
  const int size = static_cast<int>(std::min<std::size_t>(path.size(), 1 << 20));
  const int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path.data(), size, nullptr, 0);
  std::wstring text(static_cast<std::size_t>(std::max(length, 0)), L'\0');
  if (length > 0) MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path.data(), size, text.data(), length);
  return text;
}

std::string narrow(const wchar_t* text) {
  const int length = WideCharToMultiByte(CP_UTF8, 0, text, -1, nullptr, 0, nullptr, nullptr);
  std::string name(static_cast<std::size_t>(std::max(length, 1)), '\0');
  if (length > 0) WideCharToMultiByte(CP_UTF8, 0, text, -1, name.data(), length, nullptr, nullptr);
  name.pop_back();
  return name;
}

OVERLAPPED at(std::uint64_t offset) noexcept {
  OVERLAPPED place{};
  place.Offset = static_cast<DWORD>(offset);
  place.OffsetHigh = static_cast<DWORD>(offset >> 32U);
  return place;
}

// Others may do with the file what they may on every other system: read, rename and remove it.
constexpr DWORD kShared = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
constexpr std::size_t kMostAtOnce = std::size_t{1} << 30;

class WindowsFile final : public File {
 public:
  WindowsFile(HANDLE handle, std::string path) noexcept : handle_(handle), path_(std::move(path)) {}
  ~WindowsFile() override { CloseHandle(handle_); }

  Result<std::size_t> write(std::string_view bytes) override {
    DWORD written = 0;
    OVERLAPPED end = at(~std::uint64_t{0});  // wherever that is when the bytes arrive
    const auto size = static_cast<DWORD>(std::min(bytes.size(), kMostAtOnce));
    if (WriteFile(handle_, bytes.data(), size, &written, &end) == 0) return failure("write", path_);
    return static_cast<std::size_t>(written);
  }

  Result<std::size_t> read(std::uint64_t offset, char* to, std::size_t size) override {
    std::size_t have = 0;
    while (have < size) {
      OVERLAPPED place = at(offset + have);
      DWORD got = 0;
      if (ReadFile(handle_, to + have, static_cast<DWORD>(std::min(size - have, kMostAtOnce)), &got, &place) == 0) {
        if (GetLastError() == ERROR_HANDLE_EOF) break;
        return failure("read", path_);
      }
      if (got == 0) break;
      have += got;
    }
    return have;
  }

  Result<std::uint64_t> size() override {
    LARGE_INTEGER size{};
    if (GetFileSizeEx(handle_, &size) == 0) return failure("look at", path_);
    return static_cast<std::uint64_t>(size.QuadPart);
  }

  FileError truncate(std::uint64_t size) override {
    FILE_END_OF_FILE_INFO end{};
    end.EndOfFile.QuadPart = static_cast<LONGLONG>(size);
    if (SetFileInformationByHandle(handle_, FileEndOfFileInfo, &end, sizeof end) == 0) return failure("shorten", path_);
    return {};
  }

  FileError sync() override {
    if (FlushFileBuffers(handle_) == 0) return failure("sync", path_);
    return {};
  }

 private:
  HANDLE handle_;
  std::string path_;
};

/// The system lets go of it with its handle.
class WindowsLock final : public FileLock {
 public:
  explicit WindowsLock(HANDLE handle) noexcept : handle_(handle) {}
  ~WindowsLock() override { CloseHandle(handle_); }

 private:
  HANDLE handle_;
};

class WindowsFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> create(const std::string& path) override {
    return open(path, GENERIC_READ | GENERIC_WRITE, CREATE_NEW, "create");
  }
  Result<std::unique_ptr<File>> open_append(const std::string& path) override {
    return open(path, GENERIC_READ | GENERIC_WRITE, OPEN_EXISTING, "open");
  }
  Result<std::unique_ptr<File>> open_read(const std::string& path) override {
    return open(path, GENERIC_READ, OPEN_EXISTING, "open");
  }

  Result<std::vector<std::string>> list(const std::string& directory) override {
    WIN32_FIND_DATAW found{};
    const HANDLE handle = FindFirstFileW(wide(directory + "/*").c_str(), &found);
    if (handle == INVALID_HANDLE_VALUE) return failure("list", directory);
    std::vector<std::string> names;
    do {
      std::string name = narrow(found.cFileName);
      if (name != "." && name != "..") names.push_back(std::move(name));
    } while (FindNextFileW(handle, &found) != 0);
    const DWORD ended = GetLastError();
    FindClose(handle);
    if (ended != ERROR_NO_MORE_FILES) return FileError{errno_of(ended), "list", directory};
    return names;
  }

  FileError make_directory(const std::string& path) override {
    // Those above it first. A drive, a share and what may not be written say of themselves what they like: it counts
    // whether the last one is there.
    for (std::size_t end = path.find_first_of("/\\", 1); end != std::string::npos;
         end = path.find_first_of("/\\", end + 1)) {
      CreateDirectoryW(wide(path.substr(0, end)).c_str(), nullptr);
    }
    const std::wstring whole = wide(path);
    if (CreateDirectoryW(whole.c_str(), nullptr) == 0 && GetLastError() != ERROR_ALREADY_EXISTS) {
      return failure("make the directory", path);
    }
    const DWORD attributes = GetFileAttributesW(whole.c_str());
    if (attributes == INVALID_FILE_ATTRIBUTES) return failure("look at", path);
    if ((attributes & FILE_ATTRIBUTE_DIRECTORY) == 0) return {ENOTDIR, "make the directory", path};
    return {};
  }

  FileError rename(const std::string& from, const std::string& to) override {
    constexpr DWORD kHow = MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH;
    if (MoveFileExW(wide(from).c_str(), wide(to).c_str(), kHow) == 0) return failure("rename", from);
    return {};
  }

  FileError remove(const std::string& path) override {
    if (DeleteFileW(wide(path).c_str()) == 0) return failure("remove", path);
    return {};
  }

  FileError sync_directory(const std::string& path) override {
    // The file system writes a journal of its directories; there is nothing that a program could ask for.
    if (GetFileAttributesW(wide(path).c_str()) == INVALID_FILE_ATTRIBUTES) return failure("open", path);
    return {};
  }

  Result<std::unique_ptr<FileLock>> try_lock(const std::string& path) override {
    // Nobody may remove the file while it is open here, so that it is never the lock of nothing.
    const HANDLE handle =
        CreateFileW(wide(path).c_str(), GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, nullptr,
                    OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, nullptr);
    if (handle == INVALID_HANDLE_VALUE) return failure("open", path);
    OVERLAPPED place = at(0);
    if (LockFileEx(handle, LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &place) == 0) {
      FileError error = failure("lock", path);
      CloseHandle(handle);
      return error;
    }
    return std::unique_ptr<FileLock>(std::make_unique<WindowsLock>(handle));
  }

 private:
  static Result<std::unique_ptr<File>> open(const std::string& path, DWORD access, DWORD how, const char* operation) {
    const HANDLE handle =
        CreateFileW(wide(path).c_str(), access, kShared, nullptr, how, FILE_ATTRIBUTE_NORMAL, nullptr);
    if (handle == INVALID_HANDLE_VALUE) return failure(operation, path);
    return std::unique_ptr<File>(std::make_unique<WindowsFile>(handle, path));
  }
};

}  // namespace

bool FileError::is_full() const noexcept { return code == ENOSPC; }
bool FileError::is_exists() const noexcept { return code == EEXIST; }
bool FileError::is_missing() const noexcept { return code == ENOENT; }
bool FileError::is_locked() const noexcept { return code == EAGAIN; }

std::string FileError::message() const {
  if (code == 0) return "no error";
  return std::string("cannot ") + operation + " " + path + ": " + std::generic_category().message(code);
}

FileSystem& system_files() noexcept {
  static WindowsFileSystem files;
  return files;
}

}  // namespace llmcore::io
