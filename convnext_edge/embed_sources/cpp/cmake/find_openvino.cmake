# OpenVINO as named (-DOpenVINO_DIR), else where CMake finds it, else in the package that `pip install openvino` put
# beside the `python` of the PATH, else downloaded. What is not named must be as new as what built the engine.
set(openvino_options "Give its folder of OpenVINOConfig.cmake, -DOpenVINO_DIR=DIR: `pip install \
openvino==${engine_version}` has one in openvino/cmake, and Intel's archive (https://docs.openvino.ai) in runtime/cmake.")
if(OpenVINO_DIR AND NOT OpenVINO_DIR STREQUAL CONVNEXT_EDGE_FOUND_OPENVINO)
  find_package(OpenVINO QUIET COMPONENTS Runtime NO_DEFAULT_PATH)
  if(NOT OpenVINO_FOUND)
    message(FATAL_ERROR "The folder that is named has no OpenVINO for this build. ${openvino_options}")
  endif()
  if(OpenVINO_VERSION VERSION_LESS engine_version)
    message(WARNING "The engine was built with OpenVINO ${engine_version}: ${OpenVINO_VERSION} may refuse it")
  endif()
else()
  find_package(OpenVINO ${engine_version} QUIET COMPONENTS Runtime)
  if(NOT OpenVINO_FOUND AND NOT CMAKE_CROSSCOMPILING)
    find_program(CONVNEXT_EDGE_PYTHON NAMES python python3)
    if(CONVNEXT_EDGE_PYTHON)
      execute_process(
        COMMAND "${CONVNEXT_EDGE_PYTHON}" -c "import openvino.utils; print(openvino.utils.get_cmake_path())"
        OUTPUT_VARIABLE packaged OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
      find_package(OpenVINO ${engine_version} QUIET COMPONENTS Runtime PATHS "${packaged}" NO_DEFAULT_PATH)
    endif()
    unset(CONVNEXT_EDGE_PYTHON CACHE)  # the next try asks again, as another environment may be active then
  endif()
  if(NOT OpenVINO_FOUND)
    convnext_edge_fetch_runtime(openvino "${engine_version}" "${openvino_options}" folder)
    find_package(OpenVINO REQUIRED COMPONENTS Runtime PATHS "${folder}/openvino/cmake" NO_DEFAULT_PATH)
  endif()
  set(CONVNEXT_EDGE_FOUND_OPENVINO "${OpenVINO_DIR}" CACHE INTERNAL "Where it was found, as nobody named a folder")
endif()
message(STATUS "OpenVINO ${OpenVINO_VERSION}: ${OpenVINO_DIR}")
