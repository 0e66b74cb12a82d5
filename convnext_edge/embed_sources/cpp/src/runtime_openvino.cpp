#include <openvino/openvino.hpp>

#include <algorithm>
#include <chrono>

#include "convnext_edge.hpp"
#include "runtime.hpp"

namespace convnext_edge::detail {
namespace {

std::string last_line(const std::exception& error) {
    std::string text = error.what();
    text.erase(text.find_last_not_of(" \n\r\t") + 1);
    return text.substr(text.find_last_of('\n') + 1);
}

TargetError refusal(const Contract& contract, const std::string& why) {
    return TargetError("OpenVINO refuses " + contract.file.string() + ": " + why + kRefused);
}

TargetError failure(const std::exception& error) { return TargetError("OpenVINO fails: " + last_line(error)); }

class OpenVINORequest : public Request {
   public:
    OpenVINORequest(ov::InferRequest request, ov::element::Type type, const ov::Shape& shape)
        : request_(std::move(request)), input_(type, shape) {
        request_.set_input_tensor(input_);
    }

    void* input() override { return input_.data(); }

    void run() override {
        try {
            request_.infer();
        } catch (const std::exception& error) {
            throw failure(error);
        }
    }

    const float* output(std::size_t index) override { return request_.get_output_tensor(index).data<float>(); }

    std::vector<LayerTime> layer_times() override {
        std::vector<LayerTime> found;
        for (const auto& node : request_.get_profiling_info()) {
            const std::chrono::duration<double, std::milli> time = node.real_time;
            found.push_back({node.node_name, node.node_type, time.count()});
        }
        return found;
    }

   private:
    ov::InferRequest request_;
    ov::Tensor input_;
};

/// 0 for sizes that are left open.
std::vector<Shape> output_shapes(const ov::Model& model) {
    std::vector<Shape> shapes;
    for (const auto& output : model.outputs()) {
        Shape shape;
        for (const auto& size : output.get_partial_shape()) {
            shape.push_back(size.is_static() ? static_cast<std::size_t>(size.get_length()) : 0);
        }
        shapes.push_back(shape);
    }
    return shapes;
}

bool all_float(const ov::Model& model) {
    const auto outputs = model.outputs();
    return std::all_of(outputs.begin(), outputs.end(),
                       [](const auto& output) { return output.get_element_type() == ov::element::f32; });
}

class OpenVINOEngine : public Engine {
   public:
    OpenVINOEngine(const Contract& contract, int threads, bool time_layers)
        : type_(contract.takes_bytes ? ov::element::u8 : ov::element::f32),
          shape_{1, 3, contract.rows, contract.columns} {
        const auto model = core_.read_model(contract.file.string());
        check(contract, *model);
        shapes_ = of_one_image(output_shapes(*model));
        // an engine must not fall to bfloat16 by itself where a CPU offers it (f32), nor quantize the
        // activations that meet compressed weights (0: no group)
        ov::AnyMap options = {ov::hint::inference_precision(ov::element::f32),
                              ov::hint::dynamic_quantization_group_size(0),
                              ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY)};
        if (time_layers) options.emplace(ov::enable_profiling(true));
        if (threads > 0) options.emplace(ov::inference_num_threads(threads));
        compiled_ = core_.compile_model(model, "CPU", options);
    }

    const std::vector<Shape>& shapes() const override { return shapes_; }

    std::unique_ptr<Request> request() override {
        try {
            return std::make_unique<OpenVINORequest>(compiled_.create_infer_request(), type_, shape_);
        } catch (const std::exception& error) {
            throw failure(error);
        }
    }

   private:
    void check(const Contract& contract, const ov::Model& model) const {
        const bool fits = model.inputs().size() == 1 && model.input().get_element_type() == type_ &&
                          model.input().get_partial_shape().compatible(ov::PartialShape(shape_)) && all_float(model) &&
                          contract.fits(output_shapes(model));
        if (!fits) throw refusal(contract, kOtherwise);
    }

    ov::Core core_;
    ov::element::Type type_;
    ov::Shape shape_;
    std::vector<Shape> shapes_;
    ov::CompiledModel compiled_;
};

}  // namespace

std::unique_ptr<Engine> load_engine(const Contract& contract, int threads, bool time_layers) {
    try {
        return std::make_unique<OpenVINOEngine>(contract, threads, time_layers);
    } catch (const Error&) {
        throw;
    } catch (const std::exception& error) {
        throw refusal(contract, last_line(error));
    }
}

const char* runtime_name() { return "openvino"; }

std::string runtime_version() { return ov::get_openvino_version().buildNumber; }

}  // namespace convnext_edge::detail
