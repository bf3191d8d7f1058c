# The version is written once, in pyproject.toml; a change there configures again.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/../pyproject.toml")
file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/../pyproject.toml" LLMCORE_VERSION REGEX "^version = \"[0-9]+\\.[0-9]+\\.[0-9]+\"$" LIMIT_COUNT 1)
if(NOT LLMCORE_VERSION)
  message(FATAL_ERROR "pyproject.toml has no line like: version = \"1.2.3\"")
endif()
string(REGEX REPLACE "^version = \"(.*)\"$" "\\1" LLMCORE_VERSION "${LLMCORE_VERSION}")
