# bitloom_library(NAME
#   SOURCES a.cc ...        translation units; none makes a header-only library
#   HEADERS a.h ...         listed so that the folder's contents are declared in one place
#   DEPS bitloom::base ...  what the headers or sources use, ours or foreign
#   TESTS a_test.cc ...     one GoogleTest program for the folder, NAME_test
#   TEST_DEPS ...           what only the tests use
#   COLD                    nothing here has loops over weights or activations: optimised less, which compiles in two thirds of the time
#   TOGETHER                six sources are compiled at a time in release builds, in half the time: no two of them may
#                           give the same name to something in an unnamed namespace
#   BENCHES a_bench.cc ...  one Google Benchmark program, NAME_bench, built on request (target "benches")
#   BENCH_DEPS ...)         what only the benchmarks use
#
# Declares the library bitloom_NAME with the alias bitloom::NAME. Includes are written from src/. With BITLOOM_RUN_ONLY
# there are no benchmarks, and tests of BITLOOM_RUN_ONLY_TESTS alone.
add_custom_target(benches)
set(BITLOOM_LIGHT_OPTIMISATION $<$<CONFIG:Release>:-O1>)

function(bitloom_library NAME)
  cmake_parse_arguments(ARG "COLD;TOGETHER" "" "SOURCES;HEADERS;DEPS;TESTS;TEST_DEPS;BENCHES;BENCH_DEPS" ${ARGN})
  set(target bitloom_${NAME})
  if(ARG_SOURCES)
    add_library(${target} STATIC ${ARG_SOURCES} ${ARG_HEADERS})
    target_link_libraries(${target} PUBLIC ${ARG_DEPS} PRIVATE bitloom_options)
    target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_precompile_headers(${target} REUSE_FROM bitloom_headers)
    if(ARG_COLD)
      target_compile_options(${target} PRIVATE ${BITLOOM_LIGHT_OPTIMISATION})
    endif()
    if(ARG_TOGETHER AND CMAKE_BUILD_TYPE STREQUAL "Release")
      set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
    endif()
  else()
    add_library(${target} INTERFACE ${ARG_HEADERS})
    target_link_libraries(${target} INTERFACE ${ARG_DEPS})
    target_include_directories(${target} INTERFACE ${CMAKE_SOURCE_DIR}/src)
  endif()
  add_library(bitloom::${NAME} ALIAS ${target})
  if(ARG_TESTS)
    bitloom_test(${NAME}_test SOURCES ${ARG_TESTS} DEPS bitloom::${NAME} ${ARG_TEST_DEPS})
  endif()
  if(ARG_BENCHES AND NOT BITLOOM_RUN_ONLY)
    add_executable(${NAME}_bench EXCLUDE_FROM_ALL ${ARG_BENCHES})
    target_link_libraries(${NAME}_bench PRIVATE bitloom::${NAME} ${ARG_BENCH_DEPS} bitloom_options
      benchmark::benchmark_main)
    target_precompile_headers(${NAME}_bench REUSE_FROM bitloom_headers)
    add_dependencies(benches ${NAME}_bench)
  endif()
endfunction()

# A GoogleTest program whose cases become one ctest entry each. Tests run in the source tree's root, so that
# assets/, recipes/ and tests/golden/ are found by relative paths.
function(bitloom_test NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  cmake_path(GET CMAKE_CURRENT_SOURCE_DIR FILENAME folder)
  if(BITLOOM_RUN_ONLY AND NOT folder IN_LIST BITLOOM_RUN_ONLY_TESTS)
    return()
  endif()
  add_executable(${NAME} ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE ${ARG_DEPS} bitloom_options GTest::gmock_main)
  target_precompile_headers(${NAME} REUSE_FROM bitloom_test_headers)
  target_compile_options(${NAME} PRIVATE ${BITLOOM_LIGHT_OPTIMISATION})
  gtest_discover_tests(${NAME}
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
    DISCOVERY_TIMEOUT 60
    PROPERTIES TIMEOUT 600)
endfunction()
