# Installs what the program needs on a machine without the runtime: for OpenVINO its core, the plugin for CPUs, the
# reader of its own format and the thread pool; for ONNX Runtime its one library; for ExecuTorch its parts.
if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
  message(FATAL_ERROR "CONVNEXT_EDGE_INSTALL_RUNTIME is for Linux: copy the runtime's libraries by hand")
endif()

list(GET runtime_target 0 first)
get_target_property(library ${first} IMPORTED_LOCATION_RELEASE)
if(NOT library)
  get_target_property(library ${first} IMPORTED_LOCATION)
endif()
get_filename_component(runtime_dir "${library}" DIRECTORY)
if(runtime STREQUAL "openvino")
  set(patterns libopenvino.so.* libopenvino_*_cpu_plugin.so libopenvino_ir_frontend.so.* libtbb.so.*)
elseif(runtime STREQUAL "executorch")
  set(patterns libexecutorch.so libexecutorch_threadpool.so libexecutorch_kernels_optimized.so
    libexecutorch_backend_xnnpack.so)
else()
  set(patterns libonnxruntime.so.*)
endif()
foreach(pattern IN LISTS patterns)
  # The second place is that of Intel's archive, whose libraries are in runtime/lib/intel64.
  file(GLOB found "${runtime_dir}/${pattern}" "${runtime_dir}/../../3rdparty/tbb/lib/${pattern}")
  list(FILTER found INCLUDE REGEX "\\.so(\\.[0-9]+)?$")  # the names that programs ask for
  if(NOT found)
    message(FATAL_ERROR "There is no ${pattern} in ${runtime_dir}: copy the runtime's libraries by hand")
  endif()
  foreach(file IN LISTS found)
    # The file itself under that name, and no link.
    file(REAL_PATH "${file}" real)
    get_filename_component(name "${file}" NAME)
    install(FILES "${real}" DESTINATION "${CMAKE_INSTALL_LIBDIR}" RENAME "${name}")
  endforeach()
endforeach()
