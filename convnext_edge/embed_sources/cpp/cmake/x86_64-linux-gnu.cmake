# Cross-compiles for x86-64 Linux with the compiler of Debian and Ubuntu (package g++-x86-64-linux-gnu):
# cmake -DCMAKE_TOOLCHAIN_FILE=cmake/x86_64-linux-gnu.cmake ... (see README.md)
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER x86_64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER x86_64-linux-gnu-g++)
