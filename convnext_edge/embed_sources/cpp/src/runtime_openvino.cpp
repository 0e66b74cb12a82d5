#include <openvino/openvino.hpp>

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
    OpenVINORequest(ov::InferRequest request, ov::element::Type type, std::size_t edge)
        : request_(std::move(request)), input_(type, ov::Shape{1, 3, edge, edge}) {
        request_.set_input_tensor(input_);
    }

    void* input() override { return input_.data(); }

    const float* run() override {
        try {
            request_.infer();
            return request_.get_output_tensor().data<float>();
        } catch (const std::exception& error) {
            throw failure(error);
        }
    }

   private:
    ov::InferRequest request_;
    ov::Tensor input_;
};

class OpenVINOEngine : public Engine {
   public:
    OpenVINOEngine(const Contract& contract, int threads)
        : type_(contract.takes_bytes ? ov::element::u8 : ov::element::f32), edge_(contract.resolution) {
        const auto model = core_.read_model(contract.file.string());
        check(contract, *model);
        // an engine must not fall to bfloat16 by itself where a CPU offers it (f32), nor quantize the
        // activations that meet compressed weights (0: no group)
        ov::AnyMap options = {ov::hint::inference_precision(ov::element::f32),
                              ov::hint::dynamic_quantization_group_size(0),
                              ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY)};
        if (threads > 0) options.emplace(ov::inference_num_threads(threads));
        compiled_ = core_.compile_model(model, "CPU", options);
    }

    std::unique_ptr<Request> request() override {
        try {
            return std::make_unique<OpenVINORequest>(compiled_.create_infer_request(), type_, edge_);
        } catch (const std::exception& error) {
            throw failure(error);
        }
    }

   private:
    void check(const Contract& contract, const ov::Model& model) const {
        const auto edge = static_cast<std::int64_t>(contract.resolution);
        const auto classes = static_cast<std::int64_t>(contract.classes);
        const bool fits = model.inputs().size() == 1 && model.outputs().size() == 1 &&
                          model.input().get_element_type() == type_ &&
                          model.input().get_partial_shape().compatible({1, 3, edge, edge}) &&
                          model.output().get_element_type() == ov::element::f32 &&
                          model.output().get_partial_shape().compatible({1, classes});
        if (!fits) throw refusal(contract, "its input or output is not what the sidecar says");
    }

    ov::Core core_;
    ov::element::Type type_;
    std::size_t edge_;
    ov::CompiledModel compiled_;
};

}  // namespace

std::unique_ptr<Engine> load_engine(const Contract& contract, int threads) {
    try {
        return std::make_unique<OpenVINOEngine>(contract, threads);
    } catch (const Error&) {
        throw;
    } catch (const std::exception& error) {
        throw refusal(contract, last_line(error));
    }
}

const char* runtime_name() { return "openvino"; }

std::string runtime_version() { return ov::get_openvino_version().buildNumber; }

}  // namespace convnext_edge::detail
