// The C++ examples of the documentation, as cmake/examples.cmake found them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

struct Example {
  std::string_view name;  ///< page and number of the block in it: "README.md:1"
  std::string_view text;  ///< as it stands there
  int (*run)();
};

const std::vector<Example>& examples();
