// Runs the C++ example of the documentation that its argument names, and holds what it prints against what the page
// says that it prints: each `printf(...);  // text` of the example stands for one line of output, which is all of that text,
// or its beginning up to a colon or a semicolon. Output between them that no line speaks of is let pass.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "examples.hpp"

namespace {

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

/// What the comments behind printf say that it prints.
std::vector<std::string_view> promises_of(const Example& example) {
  std::vector<std::string_view> promises;
  for (const std::string_view line : lines_of(example.text)) {
    constexpr std::string_view kEnd = ");  // ";
    const std::size_t at = line.find(kEnd);
    if (at != std::string_view::npos && line.find("printf(") < at) promises.push_back(line.substr(at + kEnd.size()));
  }
  return promises;
}

bool keeps(std::string_view promise, std::string_view line) {
  if (promise.substr(0, line.size()) != line) return false;
  const std::string_view rest = promise.substr(line.size());
  return rest.empty() || rest[0] == ':' || rest[0] == ';';
}

/// Runs it with its standard output going to a file, and reads that.
std::string output_of(const Example& example) {
  std::FILE* file = std::tmpfile();
  const int terminal = dup(STDOUT_FILENO);
  if (file == nullptr || terminal < 0 || dup2(fileno(file), STDOUT_FILENO) < 0) std::abort();
  example.run();
  std::fflush(stdout);
  dup2(terminal, STDOUT_FILENO);
  close(terminal);
  std::rewind(file);
  std::string output;
  std::array<char, 4096> buffer{};
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), file)) output.append(buffer.data(), n);
  std::fclose(file);
  return output;
}

int run(const Example& example) {
  const std::string output = output_of(example);
  std::fputs(output.c_str(), stdout);
  const std::vector<std::string_view> lines = lines_of(output);
  std::size_t at = 0;
  for (const std::string_view promise : promises_of(example)) {
    while (at < lines.size() && !keeps(promise, lines[at])) ++at;
    if (at == lines.size()) {
      std::printf("the page promises, and the example does not print: %.*s\n", static_cast<int>(promise.size()),
                  promise.data());
      return 1;
    }
    ++at;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    for (const Example& example : examples()) {
      if (argc == 2 && example.name == argv[1]) return run(example);
    }
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
    return 1;
  }
  std::printf("usage: llmcore_examples NAME, one of\n");
  for (const Example& example : examples()) {
    std::printf("  %.*s\n", static_cast<int>(example.name.size()), example.name.data());
  }
  return 2;
}
