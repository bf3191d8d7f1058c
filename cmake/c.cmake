# llmcore::c: the interface for everything that speaks C, as one shared library that gives away its own functions and nothing else.
if(NOT TARGET llmcore_net OR NOT LLMCORE_C)
  return()
endif()

set(LLMCORE_C_SOURCES client.cpp conversation.cpp provider.cpp)
list(TRANSFORM LLMCORE_C_SOURCES PREPEND cpp/src/c/)

add_library(llmcore_c SHARED ${LLMCORE_C_SOURCES})
add_library(llmcore::c ALIAS llmcore_c)
target_sources(llmcore_c PUBLIC FILE_SET HEADERS BASE_DIRS cpp/include FILES cpp/include/llmcore/llmcore.h)
llmcore_target(llmcore_c)
target_compile_definitions(llmcore_c PRIVATE LLMCORE_C_BUILD)
target_link_libraries(llmcore_c PRIVATE llmcore_net)
set_target_properties(llmcore_c PROPERTIES EXPORT_NAME c OUTPUT_NAME llmcore VERSION ${PROJECT_VERSION}
                                           SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR} INSTALL_RPATH "${llmcore_beside}")
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  target_link_options(llmcore_c PRIVATE "-Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/exports_c.map")
  set_property(TARGET llmcore_c APPEND PROPERTY LINK_DEPENDS "${PROJECT_SOURCE_DIR}/cmake/exports_c.map")
endif()
