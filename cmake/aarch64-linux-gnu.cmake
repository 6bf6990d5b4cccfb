# 64-bit ARM by Debian's cross compiler, with libraries that tools/get_arm64.sh unpacks; what is built runs under QEMU.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -L /usr/aarch64-linux-gnu)  # where the cross compiler's C library lies

set(packages ${CMAKE_CURRENT_LIST_DIR}/../build/arm64-packages)
cmake_path(NORMAL_PATH packages)
set(CMAKE_FIND_ROOT_PATH ${packages} /)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(ENV{PKG_CONFIG_LIBDIR} ${packages}/usr/lib/aarch64-linux-gnu/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${packages})
include_directories(SYSTEM ${packages}/usr/include/aarch64-linux-gnu)  # what OpenSSL's headers have for each machine
