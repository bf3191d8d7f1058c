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
if(NOT LLMCORE_SANITIZE AND NOT CMAKE_CXX_FLAGS MATCHES "--coverage")  # which bring constructors of their own
  llmcore_check_archive(constructors.core_has_none constructors llmcore_core)
  llmcore_check_archive(constructors.io_has_none constructors llmcore_io)
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
