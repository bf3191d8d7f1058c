# Fails when what SIMULATE decides in its worlds is not what is written in GOLDEN: another order of evaluation, an undefined value, or a
# change of behaviour. One that is meant is written down with `llmcore_simulate golden >GOLDEN`.
execute_process(COMMAND "${SIMULATE}" golden OUTPUT_VARIABLE found RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "${SIMULATE} golden: a law was broken")
endif()
file(READ "${GOLDEN}" expected)
if(NOT found STREQUAL expected)
  message(FATAL_ERROR "decided differently (seed, calls, inputs, hash of the decisions, hash of the state):\n${found}expected, as in ${GOLDEN}:\n"
                      "${expected}Where only the last column differs the decisions are the same, and what the state hash covers is not.\n"
                      "If that is meant: ${SIMULATE} golden >${GOLDEN}")
endif()
