// openvino MODEL IMAGES [PROFILE]: run a model on so many images of noise, one at a time, on one thread.
//
// PROFILE: a file for the nodes that ran for the last image, in their order, a line each: microseconds, layer type,
// primitive, name. With no images, the kernels that would run: a line each of layer type and primitive.

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>

#include <openvino/openvino.hpp>

#include "mark.hpp"

namespace {

void print_kernels(const ov::CompiledModel& model) {
    for (const auto& node : model.get_runtime_model()->get_ordered_ops()) {
        const ov::RTMap& told = node->get_rt_info();
        if (told.count("layerType") == 0) continue;
        std::cout << told.at("layerType").as<std::string>() << ' ' << told.at("primitiveType").as<std::string>() << '\n';
    }
}

void write_profile(const ov::InferRequest& request, const char* path) {
    std::ofstream file(path);
    for (const auto& node : request.get_profiling_info()) {
        if (node.status != ov::ProfilingInfo::Status::EXECUTED) continue;
        file << node.real_time.count() << ' ' << node.node_type << ' ' << node.exec_type << ' ' << node.node_name << '\n';
    }
}

}  // namespace

int main(int count, char** words) {
    if (count < 3) return 2;
    ov::Core core;
    const ov::AnyMap options{ov::hint::inference_precision(ov::element::f32), ov::inference_num_threads(1),
                             ov::enable_profiling(count > 3)};
    auto model = core.compile_model(words[1], "CPU", options);
    const int images = std::atoi(words[2]);
    if (images == 0) print_kernels(model);
    auto request = model.create_infer_request();
    auto shape = model.input().get_partial_shape().get_min_shape();
    shape[0] = 1;
    ov::Tensor image(ov::element::f32, shape);
    for (std::size_t i = 0; i < image.get_size(); ++i) image.data<float>()[i] = static_cast<float>(i % 97) / 97 - 0.5F;
    request.set_input_tensor(image);
    for (int left = images; left > 0; --left) {
        request.infer();
        mark();
    }
    if (count > 3) write_profile(request, words[3]);
}
