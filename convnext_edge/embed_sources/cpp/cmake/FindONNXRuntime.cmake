# Finds the release archive of ONNX Runtime (include/ and lib/) below ONNXRuntime_ROOT, or that of the system.
find_path(ONNXRuntime_INCLUDE_DIR onnxruntime_cxx_api.h
  PATH_SUFFIXES onnxruntime onnxruntime/core/session)
find_library(ONNXRuntime_LIBRARY onnxruntime)

# On Linux, the file itself has the version in its name.
if(ONNXRuntime_LIBRARY)
  get_filename_component(onnxruntime_file "${ONNXRuntime_LIBRARY}" REALPATH)
  if(onnxruntime_file MATCHES "\\.so\\.([0-9]+\\.[0-9]+\\.[0-9]+)$")
    set(ONNXRuntime_VERSION "${CMAKE_MATCH_1}")
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(ONNXRuntime
  REQUIRED_VARS ONNXRuntime_LIBRARY ONNXRuntime_INCLUDE_DIR
  VERSION_VAR ONNXRuntime_VERSION
  REASON_FAILURE_MESSAGE "Unpack a release of ONNX Runtime and name its folder: -DONNXRuntime_ROOT=DIR (see README.md)")

if(ONNXRuntime_FOUND AND NOT TARGET ONNXRuntime::ONNXRuntime)
  add_library(ONNXRuntime::ONNXRuntime UNKNOWN IMPORTED)
  set_target_properties(ONNXRuntime::ONNXRuntime PROPERTIES
    IMPORTED_LOCATION "${ONNXRuntime_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${ONNXRuntime_INCLUDE_DIR}")
endif()
