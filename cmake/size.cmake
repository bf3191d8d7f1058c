# Says what PROGRAM, stripped, takes on a disk; fails when that is MOST bytes or more.
#
#   cmake -D STRIP=strip -D PROGRAM=hello -D MOST=600000 -P size.cmake
execute_process(COMMAND "${STRIP}" -o "${PROGRAM}.stripped" "${PROGRAM}" RESULT_VARIABLE result ERROR_VARIABLE complaint)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${STRIP} cannot strip ${PROGRAM}: ${complaint}")
endif()
file(SIZE "${PROGRAM}.stripped" bytes)
message(STATUS "${PROGRAM}: ${bytes} bytes stripped, of ${MOST} allowed")
if(NOT bytes LESS MOST)
  message(FATAL_ERROR "a program that links the core is ${bytes} bytes, more than the ${MOST} that a game is promised")
endif()
