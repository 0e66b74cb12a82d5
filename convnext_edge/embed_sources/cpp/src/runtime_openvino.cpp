#include <openvino/openvino.hpp>

#include <chrono>
#include <cstdint>
#include <vector>

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

    const float* output(std::size_t index) override {
        const ov::Tensor found = request_.get_output_tensor(index);
        if (found.get_element_type() != ov::element::i64) return found.data<float>();
        const auto* whole = found.data<std::int64_t>();
        floats_.assign(whole, whole + found.get_size());
        return floats_.data();
    }

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
    std::vector<float> floats_;  // of the one output that has integers
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

/// Whether the outputs have the values of a contract, whose number is that of the outputs.
bool has_types(const ov::Model& model, const Contract& contract) {
    for (std::size_t i = 0; i < contract.outputs.size(); ++i) {
        const auto wanted = contract.is_whole(i) ? ov::element::i64 : ov::element::f32;
        if (model.output(i).get_element_type() != wanted) return false;
    }
    return true;
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
                          model.input().get_partial_shape().compatible(ov::PartialShape(shape_)) &&
                          contract.fits(output_shapes(model)) && has_types(model, contract);
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
