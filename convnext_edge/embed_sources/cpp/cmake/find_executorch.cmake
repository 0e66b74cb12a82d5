# ExecuTorch where CMake finds it, else in the package that `pip install executorch` put beside the `python` of the
# PATH. What registers kernels and XNNPACK must be linked though nothing calls it; the package's targets see to that.
if(CMAKE_VERSION VERSION_LESS 3.28)
  message(FATAL_ERROR "ExecuTorch's CMake package needs CMake 3.28 or newer, this is ${CMAKE_VERSION}. "
    "Run `pip install cmake` (see README.md)")
endif()
set(executorch_parts runtime threadpool kernels_optimized backend_xnnpack)
find_package(executorch QUIET CONFIG COMPONENTS ${executorch_parts})
if(NOT executorch_FOUND AND NOT CMAKE_CROSSCOMPILING)
  find_program(CONVNEXT_EDGE_PYTHON NAMES python python3)
  if(CONVNEXT_EDGE_PYTHON)
    execute_process(
      COMMAND "${CONVNEXT_EDGE_PYTHON}" -c "import os, executorch.version as v; print(os.path.dirname(v.__file__))"
      OUTPUT_VARIABLE packaged OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    find_package(executorch QUIET CONFIG COMPONENTS ${executorch_parts} PATHS "${packaged}/lib/cmake/executorch")
  endif()
endif()
foreach(part IN LISTS executorch_parts)
  if(NOT TARGET executorch::${part})
    message(FATAL_ERROR "ExecuTorch with its ${part} is not found. Run `pip install executorch`, or name the folder of "
      "its executorch-config.cmake: -Dexecutorch_DIR=DIR (see README.md)")
  endif()
endforeach()
