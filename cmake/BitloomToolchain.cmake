# Compiler settings that hold for every target of ours.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})

# "Dev": quick to build, asserts on, good stack traces.
set(CMAKE_CXX_FLAGS_DEV "-O1 -g1 -fno-omit-frame-pointer")

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(bitloom_options INTERFACE)
# No -ffast-math: non-finite values must be seen, and the same inputs must give the same bytes.
# -ffp-contract=off for the same reason: an FMA formed here and not there would change codes between compilers.
target_compile_options(bitloom_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wcast-qual -Werror -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(bitloom_options INTERFACE -Wno-restrict)  # false alarms in std::string: GCC bug 105651
endif()
if(BITLOOM_ASSERTS)
  target_compile_options(bitloom_options INTERFACE -UNDEBUG)
endif()
if(BITLOOM_SANITIZE)
  add_compile_options(-fsanitize=${BITLOOM_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${BITLOOM_SANITIZE})
endif()
