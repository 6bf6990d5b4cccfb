# What the program that runs models only needs, all of it static: it shall need no more than a kernel.
set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
set(OPENSSL_USE_STATIC_LIBS TRUE)
find_package(Threads REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(LibLZMA REQUIRED)
if(BITLOOM_RUN_ONLY_TESTS)
  find_package(GTest REQUIRED)
endif()
find_package(PkgConfig REQUIRED)
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)

# yaml-cpp's package knows its shared library alone.
find_library(BITLOOM_YAML_CPP yaml-cpp REQUIRED)
add_library(yaml-cpp INTERFACE IMPORTED)
target_link_libraries(yaml-cpp INTERFACE ${BITLOOM_YAML_CPP})

# {fmt} comes as a shared library alone: its one source is compiled here, from its headers. The macro of the shared one is
# kept, so that a compiler cache takes our objects from another build.
add_library(bitloom_fmt STATIC ${CMAKE_SOURCE_DIR}/cmake/static_fmt.cc)
target_compile_definitions(bitloom_fmt PUBLIC FMT_SHARED)
add_library(fmt::fmt ALIAS bitloom_fmt)
