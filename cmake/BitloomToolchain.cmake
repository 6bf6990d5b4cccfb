# Compiler settings that hold for every target of ours.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})

# "Dev": quick to build, asserts on, good stack traces.
set(CMAKE_CXX_FLAGS_DEV "-O1 -g1 -fno-omit-frame-pointer")

# ccache shares objects between checkouts: paths inside this one are hashed as relative, and the precompiled headers
# (BitloomPrecompiled.cmake) need the sloppiness that ccache's manual asks for.
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE})
endif()

# One compilation serves the program and the shared library (src/api). Hidden, calls inside the library stay direct; what
# it gives out is marked there. CMake's own switch would compile tests differently, and precompiled headers not fit.
add_compile_options(-fPIC -fvisibility=hidden)

add_library(bitloom_options INTERFACE)
# No -ffast-math: non-finite values must be seen, and the same inputs must give the same bytes.
# -ffp-contract=off for the same reason: an FMA formed here and not there would change codes between compilers.
target_compile_options(bitloom_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wcast-qual -Werror -ffp-contract=off)
target_link_libraries(bitloom_options INTERFACE fmt::fmt)  # its macro must be the same wherever its header is precompiled
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False alarms inside std::string (GCC bug 105651), all but the first where it comes from a precompiled header.
  target_compile_options(bitloom_options INTERFACE -Wno-restrict -Wno-stringop-overflow
    -Wno-stringop-overread -Wno-array-bounds)
endif()
if(BITLOOM_ASSERTS)
  target_compile_options(bitloom_options INTERFACE -UNDEBUG)
endif()
if(BITLOOM_SANITIZE)
  add_compile_options(-fsanitize=${BITLOOM_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${BITLOOM_SANITIZE})
  # GCC 12 sees uninitialised values in std::regex when it is instrumented; there are none.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(bitloom_options INTERFACE -Wno-maybe-uninitialized)
  else()  # Clang's instrumented loops are not vectorized, and need not be
    target_compile_options(bitloom_options INTERFACE -Wno-pass-failed)
  endif()
endif()
