# Headers that most translation units include, compiled once: a third to a half of the time of a build from nothing.
# Sources include what they use all the same; -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON builds without (clang-tidy does).
#
# GCC accepts a precompiled header only where flags and macros are the same. So there are two, one for libraries and one
# for tests (GoogleTest's macros), and what a few sources need besides (OpenMP) is set on those sources alone, with
# SKIP_PRECOMPILE_HEADERS: GCC says "not used because", Clang 14 crashes.
# Only <...> includes: an absolute path in it would make every checkout's differ, and ccache miss.
set(BITLOOM_PRECOMPILED
  <algorithm> <array> <cmath> <cstdint> <cstring> <filesystem> <functional> <limits> <map> <memory> <optional> <span>
  <string> <string_view> <utility> <vector> <fmt/format.h> <nlohmann/json.hpp>)

function(bitloom_precompiled NAME)
  cmake_parse_arguments(ARG "" "" "HEADERS;DEPS" ${ARGN})
  file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/${NAME}.cc CONTENT "")
  add_library(${NAME} OBJECT ${CMAKE_BINARY_DIR}/${NAME}.cc)
  target_link_libraries(${NAME} PRIVATE ${ARG_DEPS} bitloom_options)
  target_precompile_headers(${NAME} PRIVATE ${ARG_HEADERS})
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    # Else the headers' times are in it, and one from ccache is refused.
    target_compile_options(${NAME} PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
  else()
    target_compile_options(${NAME} PRIVATE -fpch-preprocess)  # shows ccache which file is used
  endif()
endfunction()

bitloom_precompiled(bitloom_headers HEADERS ${BITLOOM_PRECOMPILED} DEPS fmt::fmt nlohmann_json::nlohmann_json)
if(TARGET GTest::gmock)
  bitloom_precompiled(bitloom_test_headers HEADERS ${BITLOOM_PRECOMPILED} <gmock/gmock.h> <gtest/gtest.h>
    DEPS fmt::fmt nlohmann_json::nlohmann_json GTest::gmock)
endif()
