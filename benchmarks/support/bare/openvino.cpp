#include <openvino/openvino.hpp>

#include <algorithm>

#include "runtime.hpp"

namespace {

class OpenVINORequest : public Request {
   public:
    OpenVINORequest(ov::InferRequest request, const ov::Shape& shape)
        : request_(std::move(request)), input_(ov::element::f32, shape) {
        request_.set_input_tensor(input_);
    }

    std::size_t values() const override { return input_.get_size(); }

    Numbers answer(const Numbers& input) override {
        std::copy(input.begin(), input.end(), input_.data<float>());
        request_.infer();
        const ov::Tensor found = request_.get_output_tensor();
        return Numbers(found.data<float>(), found.data<float>() + found.get_size());
    }

   private:
    ov::InferRequest request_;
    ov::Tensor input_;
};

class OpenVINOEngine : public Engine {
   public:
    explicit OpenVINOEngine(const std::string& file)
        : compiled_(core_.compile_model(file, "CPU", ov::inference_num_threads(1),
                                        ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
                                        ov::hint::inference_precision(ov::element::f32),
                                        ov::hint::dynamic_quantization_group_size(0))) {
        shape_ = compiled_.input().get_partial_shape().get_max_shape();
        shape_[0] = 1;
    }

    std::unique_ptr<Request> request() override {
        return std::make_unique<OpenVINORequest>(compiled_.create_infer_request(), shape_);
    }

   private:
    ov::Core core_;
    ov::CompiledModel compiled_;
    ov::Shape shape_;
};

}  // namespace

std::unique_ptr<Engine> open(const std::string& file) { return std::make_unique<OpenVINOEngine>(file); }
