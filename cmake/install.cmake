# `cmake --install build --component development`, then find_package(llmcore).
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(llmcore_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/llmcore")

install(
  TARGETS llmcore_core llmcore_io
  EXPORT llmcoreTargets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT development
  FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT development)
install(EXPORT llmcoreTargets NAMESPACE llmcore:: DESTINATION "${llmcore_package_dir}" COMPONENT development)

configure_package_config_file(cmake/llmcoreConfig.cmake.in "${PROJECT_BINARY_DIR}/llmcoreConfig.cmake"
                              INSTALL_DESTINATION "${llmcore_package_dir}")
# Before 1.0 a new minor version may break what uses it.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/llmcoreConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/llmcoreConfig.cmake" "${PROJECT_BINARY_DIR}/llmcoreConfigVersion.cmake"
        DESTINATION "${llmcore_package_dir}" COMPONENT development)
