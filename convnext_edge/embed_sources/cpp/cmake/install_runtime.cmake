# Installs what the program needs on a machine without the runtime: for OpenVINO its core, the plugin for CPUs, the
# reader of its own format and the thread pool; for ONNX Runtime its one library.
get_target_property(library ${runtime_target} IMPORTED_LOCATION_RELEASE)
if(NOT library)
  get_target_property(library ${runtime_target} IMPORTED_LOCATION)
endif()
get_filename_component(runtime_dir "${library}" DIRECTORY)

if(runtime STREQUAL "openvino")
  set(patterns libopenvino.so.* libopenvino_*_cpu_plugin.so libopenvino_ir_frontend.so.* libtbb.so.*)
else()
  set(patterns libonnxruntime.so.1)
endif()
foreach(pattern IN LISTS patterns)
  file(GLOB found "${runtime_dir}/${pattern}" "${runtime_dir}/../3rdparty/tbb/lib/${pattern}")
  foreach(file IN LISTS found)
    # Under the name that the program asks for, and not as a link.
    file(REAL_PATH "${file}" real)
    get_filename_component(name "${file}" NAME)
    install(FILES "${real}" DESTINATION "${CMAKE_INSTALL_LIBDIR}" RENAME "${name}")
  endforeach()
endforeach()
