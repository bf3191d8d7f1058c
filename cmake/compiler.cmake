# How every target here is compiled.

set(llmcore_gnu_like "$<OR:$<CXX_COMPILER_ID:GNU>,$<CXX_COMPILER_ID:Clang>,$<CXX_COMPILER_ID:AppleClang>>")

if(PROJECT_IS_TOP_LEVEL)
  if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
  endif()
  if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    # -O3 buys the core nothing and costs a third more build time; a debugger can live with -O1 and the property tests cannot without.
    set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
    set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g")
  endif()
  find_program(LLMCORE_CCACHE ccache)
  if(LLMCORE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${LLMCORE_CCACHE}")
  endif()
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
endif()

if(LLMCORE_SANITIZE)
  add_compile_options(-fsanitize=${LLMCORE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${LLMCORE_SANITIZE})
endif()

if(LLMCORE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)  # counts the branches that an input takes
endif()

add_library(llmcore_warnings INTERFACE)
target_compile_options(
  llmcore_warnings
  INTERFACE "$<${llmcore_gnu_like}:-Wall;-Wextra;-Wpedantic;-Wconversion;-Wshadow>"
            "$<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>"
            "$<$<CXX_COMPILER_ID:MSVC>:/W4>"
            "$<$<AND:$<BOOL:${LLMCORE_WERROR}>,${llmcore_gnu_like}>:-Werror>"
            "$<$<AND:$<BOOL:${LLMCORE_WERROR}>,$<CXX_COMPILER_ID:MSVC>>:/WX>")

# C++20, warnings and everything else that two targets must agree on.
function(llmcore_target target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
                                             POSITION_INDEPENDENT_CODE ON)
  # A fused multiply-add rounds once where two instructions round twice: results must not depend on the processor.
  target_compile_options(${target} PRIVATE "$<${llmcore_gnu_like}:-ffp-contract=off>")
  target_compile_definitions(${target} PRIVATE "LLMCORE_ASSERTIONS=$<BOOL:${LLMCORE_ASSERTIONS}>")
  target_link_libraries(${target} PRIVATE "$<BUILD_INTERFACE:llmcore_warnings>")
endfunction()

# A shared library finds the others beside it, wherever they are installed: a program that links one of them need not name the rest.
if(APPLE)
  set(llmcore_beside "@loader_path")
else()
  set(llmcore_beside "$ORIGIN")
endif()

set(LLMCORE_LIBRARY_TYPE STATIC)
if(LLMCORE_SHARED)
  set(LLMCORE_LIBRARY_TYPE SHARED)
endif()

# A library that others link as llmcore::<name>.
function(llmcore_library target name)
  llmcore_target(${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "SHARED_LIBRARY")
    # Before 1.0 a new minor version may change what is binary.
    set_target_properties(
      ${target}
      PROPERTIES CXX_VISIBILITY_PRESET default VISIBILITY_INLINES_HIDDEN OFF WINDOWS_EXPORT_ALL_SYMBOLS ON VERSION ${PROJECT_VERSION}
                 SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR} INSTALL_RPATH "${llmcore_beside}")
    if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
      target_link_options(${target} PRIVATE "-Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/exports.map")
      set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS "${PROJECT_SOURCE_DIR}/cmake/exports.map")
    endif()
  endif()
endfunction()
