# `cmake --install build --component development`, then find_package(llmcore COMPONENTS core net) or `pkg-config llmcore`.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(llmcore_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/llmcore")
set(llmcore_pkgconfig_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
# From there to the prefix, so that an installed tree may be moved.
file(RELATIVE_PATH LLMCORE_PC_UP "/${llmcore_pkgconfig_dir}" "/")
string(REGEX REPLACE "/$" "" LLMCORE_PC_UP "${LLMCORE_PC_UP}")

# llmcore_install(EXPORT target...): what one file of targets holds.
function(llmcore_install export)
  install(
    TARGETS ${ARGN}
    EXPORT ${export}
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT development
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT development
    RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT development
    FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT development)
  install(EXPORT ${export} NAMESPACE llmcore:: DESTINATION "${llmcore_package_dir}" COMPONENT development)
endfunction()

# llmcore_pkgconfig(NAME LIBS what-others-link [REQUIRES names] [PRIVATE names])
function(llmcore_pkgconfig name)
  cmake_parse_arguments(PARSE_ARGV 1 PC "" "LIBS;REQUIRES;PRIVATE;FLAGS" "")
  set(LLMCORE_PC_NAME ${name})
  set(LLMCORE_PC_LIBS "${PC_LIBS}")
  set(LLMCORE_PC_REQUIRES "${PC_REQUIRES}")
  set(LLMCORE_PC_REQUIRES_PRIVATE "${PC_PRIVATE}")
  set(LLMCORE_PC_FLAGS "${PC_FLAGS}")
  configure_file("${PROJECT_SOURCE_DIR}/cmake/llmcore.pc.in" "${PROJECT_BINARY_DIR}/${name}.pc" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/${name}.pc" DESTINATION "${llmcore_pkgconfig_dir}" COMPONENT development)
endfunction()

llmcore_install(llmcoreTargets llmcore_core llmcore_io)
llmcore_pkgconfig(llmcore LIBS "-lllmcore_io -lllmcore_core" FLAGS "-std=c++20")
if(TARGET llmcore_net)
  llmcore_install(llmcore_netTargets llmcore_net)
  # A static library hands on what it needs; a shared one has it already.
  if(LLMCORE_SHARED)
    llmcore_pkgconfig(llmcore-net LIBS "-lllmcore_net" REQUIRES llmcore PRIVATE libcurl)
  else()
    llmcore_pkgconfig(llmcore-net LIBS "-lllmcore_net" REQUIRES "llmcore libcurl")
  endif()
endif()
if(TARGET llmcore_c)
  llmcore_install(llmcore_cTargets llmcore_c)
  llmcore_pkgconfig(llmcore-c LIBS "-lllmcore")
endif()

configure_package_config_file(cmake/llmcoreConfig.cmake.in "${PROJECT_BINARY_DIR}/llmcoreConfig.cmake"
                              INSTALL_DESTINATION "${llmcore_package_dir}")
# Before 1.0 a new minor version may break what uses it.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/llmcoreConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/llmcoreConfig.cmake" "${PROJECT_BINARY_DIR}/llmcoreConfigVersion.cmake"
        DESTINATION "${llmcore_package_dir}" COMPONENT development)
