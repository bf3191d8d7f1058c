# Checks of the libraries as they were built, by what is in the files. Each check can see what it looks for: it is shown a library with
# everything that it must find.
add_library(llmcore_impure STATIC tests/cpp/purity/impure.cpp)
llmcore_target(llmcore_impure)

# llmcore_check_archive(NAME SCRIPT TARGET [definitions...])
function(llmcore_check_archive name script target)
  add_test(NAME ${name} COMMAND "${CMAKE_COMMAND}" -D "NM=${CMAKE_NM}" -D "OBJDUMP=${CMAKE_OBJDUMP}" -D "ARCHIVE=$<TARGET_FILE:${target}>"
                                ${ARGN} -P "${PROJECT_SOURCE_DIR}/cmake/${script}.cmake")
endfunction()

llmcore_check_archive(purity.core_has_no_clock_socket_file_thread_stream_or_locale purity llmcore_core)
llmcore_check_archive(purity.check_catches_each_planted_violation purity llmcore_impure -D PLANTED=ON)
llmcore_check_archive(purity.io_writes_to_no_stream_and_asks_for_no_locale purity llmcore_io -D "KINDS=stream,locale")
llmcore_check_archive(purity.net_writes_to_no_stream_and_asks_for_no_locale purity llmcore_net -D "KINDS=stream,locale")
if(NOT LLMCORE_SANITIZE AND NOT CMAKE_CXX_FLAGS MATCHES "--coverage")  # which bring constructors of their own
  llmcore_check_archive(constructors.core_has_none constructors llmcore_core)
  llmcore_check_archive(constructors.io_has_none constructors llmcore_io)
  llmcore_check_archive(constructors.net_has_none constructors llmcore_net)
  llmcore_check_archive(constructors.check_catches_a_planted_one constructors llmcore_impure -D PLANTED=ON)

  # What a game pays for the core on a disk.
  add_executable(llmcore_hello tests/cpp/consumers/main.cpp)
  llmcore_target(llmcore_hello)
  target_compile_definitions(llmcore_hello PRIVATE EXPECTED_VERSION="${LLMCORE_VERSION}")
  target_link_libraries(llmcore_hello PRIVATE llmcore_core llmcore_io)
  if(NOT MSVC AND NOT APPLE)
    target_link_options(llmcore_hello PRIVATE -Wl,--gc-sections)
    add_test(NAME size.a_hello_with_the_core_is_below_600_kb
             COMMAND "${CMAKE_COMMAND}" -D "STRIP=${CMAKE_STRIP}" -D "PROGRAM=$<TARGET_FILE:llmcore_hello>" -D MOST=600000 -P
                     "${PROJECT_SOURCE_DIR}/cmake/size.cmake")
  endif()
endif()

# The C interface, from C and from another language, and what its library gives away.
if(TARGET llmcore_c)
  enable_language(C)
  add_executable(llmcore_c_test tests/c/client_test.c)
  set_target_properties(llmcore_c_test PROPERTIES C_STANDARD 99 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)
  target_compile_options(llmcore_c_test PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Werror)
  target_compile_definitions(llmcore_c_test PRIVATE EXPECTED_VERSION="${LLMCORE_VERSION}")
  target_link_libraries(llmcore_c_test PRIVATE llmcore_c)
  add_test(NAME c.from_c99 COMMAND llmcore_c_test)
  if(NOT LLMCORE_SANITIZE AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
    add_test(NAME c.exports_its_own_functions_alone
             COMMAND "${CMAKE_COMMAND}" -D "NM=${CMAKE_NM}" -D "LIBRARY=$<TARGET_FILE:llmcore_c>" -D
                     "HEADER=${PROJECT_SOURCE_DIR}/cpp/include/llmcore/llmcore.h" -P "${PROJECT_SOURCE_DIR}/cmake/exported.cmake")
    find_package(Python3 COMPONENTS Interpreter QUIET)
    if(Python3_FOUND)
      add_test(NAME c.from_ctypes COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/tests/c/ctypes_test.py" "$<TARGET_FILE:llmcore_c>"
                                          "${PROJECT_SOURCE_DIR}/cpp/include/llmcore/llmcore.h")
    endif()
  endif()
endif()
