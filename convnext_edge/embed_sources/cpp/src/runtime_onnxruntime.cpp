#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "convnext_edge.hpp"
#include "runtime.hpp"

namespace convnext_edge::detail {
namespace {

using Sizes = std::vector<std::int64_t>;

TargetError refusal(const Contract& contract, const std::string& why) {
    return TargetError("ONNX Runtime refuses " + contract.file.string() + ": " + why + kRefused);
}

TargetError failure(const std::exception& error) {
    return TargetError(std::string("ONNX Runtime fails: ") + error.what());
}

template <typename T>
Ort::Value tensor(const Ort::MemoryInfo& memory, std::vector<T>& data, const Sizes& shape) {
    return Ort::Value::CreateTensor<T>(memory, data.data(), data.size(), shape.data(), shape.size());
}

/// What follows a key in one event of a profile, up to the next quote or comma; empty where there is none.
std::string value_of(const std::string& event, const std::string& key) {
    const std::string quoted_key = '"' + key + '"';
    auto start = event.find(quoted_key);
    if (start == std::string::npos) return "";
    start = event.find_first_not_of(" :", start + quoted_key.size());
    if (start == std::string::npos) return "";
    const bool quoted = event[start] == '"';
    if (quoted) ++start;
    return event.substr(start, event.find_first_of(quoted ? "\"" : ",}", start) - start);
}

/// The nodes in a profile, which has an event on each line, with the mean of all calls but the first. In a profile,
/// nodes are in the order in which they ended.
std::vector<LayerTime> read_profile(const std::filesystem::path& profile) {
    static const std::string kKernel = "_kernel_time";  // what is added to the name of a node
    std::vector<LayerTime> found;
    std::map<std::string, std::pair<std::size_t, int>> places;  // of each name, and how many calls were counted
    std::ifstream stream(profile);
    for (std::string event; std::getline(stream, event);) {
        std::string name = value_of(event, "name");
        const bool ends = name.size() > kKernel.size() &&
                          name.compare(name.size() - kKernel.size(), kKernel.size(), kKernel) == 0;
        if (value_of(event, "cat") != "Node" || !ends) continue;
        name.resize(name.size() - kKernel.size());
        const auto [place, first] = places.try_emplace(name, found.size(), 0);
        if (first) {
            found.push_back({name, value_of(event, "op_name"), 0});
            continue;
        }
        auto& [index, calls] = place->second;
        const double milliseconds = std::stod("0" + value_of(event, "dur")) / 1000;
        ++calls;
        found[index].milliseconds += (milliseconds - found[index].milliseconds) / calls;
    }
    if (found.empty()) throw TargetError("ONNX Runtime wrote no times of nodes to " + profile.string());
    return found;
}

/// (1, ...)
Sizes batch_of_one(const Shape& shape) {
    Sizes sizes = {1};
    for (const std::size_t size : shape) sizes.push_back(static_cast<std::int64_t>(size));
    return sizes;
}

/// What an engine's inputs and outputs are called, and the shapes of outputs without the axis of the batch.
struct Ports {
    std::string input;
    std::vector<std::string> outputs;
    std::vector<Shape> shapes;
};

/// Input and outputs stay in our own memory from call to call.
template <typename T>
class ONNXRuntimeRequest : public Request {
   public:
    ONNXRuntimeRequest(Ort::Session& session, const Ports& ports, const Contract& contract)
        : session_(session), values_(contract.input_values()), made_(ports.shapes.size()), binding_(session) {
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
        const Sizes shape = batch_of_one({3, contract.rows, contract.columns});
        binding_.BindInput(ports.input.c_str(), tensor(memory, values_, shape));
        for (std::size_t i = 0; i < made_.size(); ++i) {
            const Sizes whole_shape = batch_of_one(ports.shapes[i]);
            made_[i].resize(count(ports.shapes[i]));
            if (contract.is_whole(i)) {
                whole_.resize(made_[i].size());
                whole_place_ = i;
                binding_.BindOutput(ports.outputs[i].c_str(), tensor(memory, whole_, whole_shape));
            } else {
                binding_.BindOutput(ports.outputs[i].c_str(), tensor(memory, made_[i], whole_shape));
            }
        }
    }

    void* input() override { return values_.data(); }

    void run() override {
        try {
            session_.Run(options_, binding_);
            std::copy(whole_.begin(), whole_.end(), made_[whole_place_].begin());
        } catch (const std::exception& error) {
            throw failure(error);
        }
    }

    const float* output(std::size_t index) override { return made_[index].data(); }

    std::vector<LayerTime> layer_times() override {
        Ort::AllocatorWithDefaultOptions allocator;
        const std::filesystem::path profile = session_.EndProfilingAllocated(allocator).get();
        const auto found = read_profile(profile);
        std::error_code ignored;
        std::filesystem::remove(profile, ignored);
        return found;
    }

   private:
    Ort::Session& session_;
    Ort::RunOptions options_;
    std::vector<T> values_;
    std::vector<std::vector<float>> made_;
    std::vector<std::int64_t> whole_;  // of the one output that has integers; empty where none has
    std::size_t whole_place_ = 0;
    Ort::IoBinding binding_;
};

Ort::SessionOptions session_options(int threads, bool time_layers) {
    Ort::SessionOptions options;
    if (time_layers) {
        const auto profile = std::filesystem::temp_directory_path() / "convnext_edge_profile";
        options.EnableProfiling(profile.c_str());  // which adds the time to the name
    }
    options.SetLogSeverityLevel(ORT_LOGGING_LEVEL_ERROR);
    // INT8 is fused in the engine already. Where weights alone are INT8, the optimizer would quantize the
    // activations too.
    options.AddConfigEntry("session.disable_quant_qdq", "1");
    if (threads > 0) options.SetIntraOpNumThreads(threads);
    return options;
}

class ONNXRuntimeEngine : public Engine {
   public:
    ONNXRuntimeEngine(const Contract& contract, int threads, bool time_layers)
        : contract_(contract),
          environment_(ORT_LOGGING_LEVEL_ERROR, "convnext_edge"),
          session_(environment_, contract.file.c_str(), session_options(threads, time_layers)) {
        check();
        Ort::AllocatorWithDefaultOptions allocator;
        ports_.input = session_.GetInputNameAllocated(0, allocator).get();
        for (std::size_t i = 0; i < session_.GetOutputCount(); ++i) {
            ports_.outputs.emplace_back(session_.GetOutputNameAllocated(i, allocator).get());
        }
        ports_.shapes = of_one_image(output_shapes());
    }

    const std::vector<Shape>& shapes() const override { return ports_.shapes; }

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
        return std::make_unique<ONNXRuntimeRequest<T>>(session_, ports_, contract_);
    }

    void check() const {
        const auto type = contract_.takes_bytes ? ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8
                                                : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
        const Sizes image = batch_of_one({3, contract_.rows, contract_.columns});
        const bool fits = session_.GetInputCount() == 1 && is(session_.GetInputTypeInfo(0), type, image) &&
                          contract_.fits(output_shapes());
        if (!fits) throw refusal(contract_, kOtherwise);
    }

    /// An edge of -1 is one that the model leaves open.
    static bool is(const Ort::TypeInfo& info, ONNXTensorElementDataType type, const Sizes& wanted) {
        if (info.GetONNXType() != ONNX_TYPE_TENSOR) return false;
        const auto tensor_info = info.GetTensorTypeAndShapeInfo();
        const Sizes found = tensor_info.GetShape();
        bool fits = tensor_info.GetElementType() == type && found.size() == wanted.size();
        for (std::size_t i = 0; fits && i < wanted.size(); ++i) fits = found[i] == -1 || found[i] == wanted[i];
        return fits;
    }

    /// 0 for sizes that are left open; none for what is no array of the values that the contract says.
    std::vector<Shape> output_shapes() const {
        std::vector<Shape> shapes(session_.GetOutputCount());
        for (std::size_t i = 0; i < shapes.size(); ++i) {
            const Ort::TypeInfo info = session_.GetOutputTypeInfo(i);
            if (info.GetONNXType() != ONNX_TYPE_TENSOR) continue;
            const auto tensor_info = info.GetTensorTypeAndShapeInfo();
            const bool whole = i < contract_.outputs.size() && contract_.is_whole(i);
            const auto type = whole ? ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
            if (tensor_info.GetElementType() != type) continue;
            for (const std::int64_t size : tensor_info.GetShape()) {
                shapes[i].push_back(size > 0 ? static_cast<std::size_t>(size) : 0);
            }
        }
        return shapes;
    }

    Contract contract_;
    Ort::Env environment_;
    Ort::Session session_;
    Ports ports_;
};

}  // namespace

std::unique_ptr<Engine> load_engine(const Contract& contract, int threads, bool time_layers) {
    try {
        return std::make_unique<ONNXRuntimeEngine>(contract, threads, time_layers);
    } catch (const Error&) {
        throw;
    } catch (const std::exception& error) {
        throw refusal(contract, error.what());
    }
}

const char* runtime_name() { return "onnxruntime"; }

std::string runtime_version() { return OrtGetApiBase()->GetVersionString(); }

}  // namespace convnext_edge::detail
