# OpenVINO where CMake finds it, else in the package that `pip install openvino` put beside the `python` of the PATH.
find_package(OpenVINO QUIET COMPONENTS Runtime)
if(NOT OpenVINO_FOUND AND NOT CMAKE_CROSSCOMPILING)
  find_program(CONVNEXT_EDGE_PYTHON NAMES python python3)
  if(CONVNEXT_EDGE_PYTHON)
    execute_process(
      COMMAND "${CONVNEXT_EDGE_PYTHON}" -c "import openvino.utils; print(openvino.utils.get_cmake_path())"
      OUTPUT_VARIABLE packaged OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    find_package(OpenVINO QUIET COMPONENTS Runtime PATHS "${packaged}")
  endif()
endif()
if(NOT OpenVINO_FOUND)
  set(asked "${CONVNEXT_EDGE_PYTHON}")
  unset(CONVNEXT_EDGE_PYTHON CACHE)  # the next try asks again, as another environment may be active then
  message(FATAL_ERROR "OpenVINO is not found, also not by the python of the PATH (${asked}). Activate the "
    "environment that has it and try again; or run `pip install openvino`; or "
    "name the folder of its OpenVINOConfig.cmake: -DOpenVINO_DIR=DIR (see README.md)")
endif()
