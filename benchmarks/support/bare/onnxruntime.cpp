#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>

#include "runtime.hpp"

namespace {

using Sizes = std::vector<std::int64_t>;

/// With a batch of 1 where the size of the batch is left open.
Sizes of_one_image(const Ort::TypeInfo& info) {
    Sizes sizes = info.GetTensorTypeAndShapeInfo().GetShape();
    sizes.front() = 1;
    return sizes;
}

std::size_t count(const Sizes& sizes) {
    return static_cast<std::size_t>(std::accumulate(sizes.begin(), sizes.end(), std::int64_t{1}, std::multiplies<>()));
}

class ONNXRuntimeRequest : public Request {
   public:
    explicit ONNXRuntimeRequest(Ort::Session& session) : session_(session), binding_(session) {
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
        Ort::AllocatorWithDefaultOptions names;
        const Sizes taken = of_one_image(session.GetInputTypeInfo(0));
        const Sizes made = of_one_image(session.GetOutputTypeInfo(0));
        input_.resize(count(taken));
        output_.resize(count(made));
        binding_.BindInput(session.GetInputNameAllocated(0, names).get(),
                           Ort::Value::CreateTensor<float>(memory, input_.data(), input_.size(), taken.data(), taken.size()));
        binding_.BindOutput(session.GetOutputNameAllocated(0, names).get(),
                            Ort::Value::CreateTensor<float>(memory, output_.data(), output_.size(), made.data(), made.size()));
    }

    std::size_t values() const override { return input_.size(); }

    Numbers answer(const Numbers& input) override {
        std::copy(input.begin(), input.end(), input_.begin());
        session_.Run(options_, binding_);
        return output_;
    }

   private:
    Ort::Session& session_;
    Ort::RunOptions options_;
    Numbers input_;
    Numbers output_;
    Ort::IoBinding binding_;
};

Ort::SessionOptions options() {
    Ort::SessionOptions chosen;
    chosen.SetIntraOpNumThreads(1);
    return chosen;
}

class ONNXRuntimeEngine : public Engine {
   public:
    explicit ONNXRuntimeEngine(const std::string& file)
        : environment_(ORT_LOGGING_LEVEL_ERROR, "bare"), session_(environment_, file.c_str(), options()) {}

    std::unique_ptr<Request> request() override { return std::make_unique<ONNXRuntimeRequest>(session_); }

   private:
    Ort::Env environment_;
    Ort::Session session_;
};

}  // namespace

std::unique_ptr<Engine> open(const std::string& file) { return std::make_unique<ONNXRuntimeEngine>(file); }
