#include <onnxruntime_cxx_api.h>

#include <array>
#include <cstdint>
#include <vector>

#include "convnext_edge.hpp"
#include "runtime.hpp"

namespace convnext_edge::detail {
namespace {

using Shape = std::vector<std::int64_t>;

TargetError refusal(const Contract& contract, const std::string& why) {
    return TargetError("ONNX Runtime refuses " + contract.file.string() + ": " + why + kRefused);
}

TargetError failure(const std::exception& error) {
    return TargetError(std::string("ONNX Runtime fails: ") + error.what());
}

Ort::Value tensor(const Ort::MemoryInfo& memory, std::vector<float>& data, const Shape& shape) {
    return Ort::Value::CreateTensor<float>(memory, data.data(), data.size(), shape.data(), shape.size());
}

Ort::Value tensor(const Ort::MemoryInfo& memory, std::vector<std::uint8_t>& data, const Shape& shape) {
    return Ort::Value::CreateTensor<std::uint8_t>(memory, data.data(), data.size(), shape.data(), shape.size());
}

/// Input and output stay in our own memory from call to call.
template <typename T>
class ONNXRuntimeRequest : public Request {
   public:
    ONNXRuntimeRequest(Ort::Session& session, const char* input, const char* output, const Contract& contract)
        : session_(session),
          values_(3 * contract.resolution * contract.resolution),
          logits_(contract.classes),
          binding_(session) {
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
        const auto edge = static_cast<std::int64_t>(contract.resolution);
        binding_.BindInput(input, tensor(memory, values_, {1, 3, edge, edge}));
        binding_.BindOutput(output, tensor(memory, logits_, {1, static_cast<std::int64_t>(contract.classes)}));
    }

    void* input() override { return values_.data(); }

    const float* run() override {
        try {
            session_.Run(options_, binding_);
            return logits_.data();
        } catch (const std::exception& error) {
            throw failure(error);
        }
    }

   private:
    Ort::Session& session_;
    Ort::RunOptions options_;
    std::vector<T> values_;
    std::vector<float> logits_;
    Ort::IoBinding binding_;
};

Ort::SessionOptions session_options(int threads) {
    Ort::SessionOptions options;
    options.SetLogSeverityLevel(ORT_LOGGING_LEVEL_ERROR);
    // INT8 is fused in the engine already. Where weights alone are INT8, the optimizer would quantize the
    // activations too.
    options.AddConfigEntry("session.disable_quant_qdq", "1");
    if (threads > 0) options.SetIntraOpNumThreads(threads);
    return options;
}

class ONNXRuntimeEngine : public Engine {
   public:
    ONNXRuntimeEngine(const Contract& contract, int threads)
        : contract_(contract),
          environment_(ORT_LOGGING_LEVEL_ERROR, "convnext_edge"),
          session_(environment_, contract.file.c_str(), session_options(threads)) {
        check();
        Ort::AllocatorWithDefaultOptions allocator;
        input_ = session_.GetInputNameAllocated(0, allocator).get();
        output_ = session_.GetOutputNameAllocated(0, allocator).get();
    }

    std::unique_ptr<Request> request() override {
        try {
            if (contract_.takes_bytes) return make<std::uint8_t>();
            return make<float>();
        } catch (const std::exception& error) {
            throw failure(error);
        }
    }

   private:
    template <typename T>
    std::unique_ptr<Request> make() {
        return std::make_unique<ONNXRuntimeRequest<T>>(session_, input_.c_str(), output_.c_str(), contract_);
    }

    void check() const {
        const auto edge = static_cast<std::int64_t>(contract_.resolution);
        const auto type = contract_.takes_bytes ? ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8
                                                : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
        const bool fits =
            session_.GetInputCount() == 1 && session_.GetOutputCount() == 1 &&
            is(session_.GetInputTypeInfo(0), type, {1, 3, edge, edge}) &&
            is(session_.GetOutputTypeInfo(0), ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
               {1, static_cast<std::int64_t>(contract_.classes)});
        if (!fits) throw refusal(contract_, "its input or output is not what the sidecar says");
    }

    /// An edge of -1 is one that the model leaves open.
    static bool is(const Ort::TypeInfo& info, ONNXTensorElementDataType type, const Shape& wanted) {
        if (info.GetONNXType() != ONNX_TYPE_TENSOR) return false;
        const auto tensor_info = info.GetTensorTypeAndShapeInfo();
        const Shape found = tensor_info.GetShape();
        bool fits = tensor_info.GetElementType() == type && found.size() == wanted.size();
        for (std::size_t i = 0; fits && i < wanted.size(); ++i) fits = found[i] == -1 || found[i] == wanted[i];
        return fits;
    }

    Contract contract_;
    Ort::Env environment_;
    Ort::Session session_;
    std::string input_;
    std::string output_;
};

}  // namespace

std::unique_ptr<Engine> load_engine(const Contract& contract, int threads) {
    try {
        return std::make_unique<ONNXRuntimeEngine>(contract, threads);
    } catch (const Error&) {
        throw;
    } catch (const std::exception& error) {
        throw refusal(contract, error.what());
    }
}

const char* runtime_name() { return "onnxruntime"; }

std::string runtime_version() { return OrtGetApiBase()->GetVersionString(); }

}  // namespace convnext_edge::detail
