#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/extension/threadpool/threadpool_guard.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "convnext_edge.hpp"
#include "runtime.hpp"

// ExecuTorch's package has these in its library for applications, but not the header that declares them.
namespace executorch::extension::threadpool {
class ThreadPool {
   public:
    std::size_t get_thread_count() const;
    bool _unsafe_reset_threadpool(std::uint32_t threads);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace convnext_edge::detail {
namespace {

namespace threadpool = executorch::extension::threadpool;
using executorch::aten::ScalarType;
using executorch::extension::Module;
using executorch::runtime::Result;
using executorch::runtime::TensorInfo;
using Failure = executorch::runtime::Error;
using Sizes = std::vector<executorch::aten::SizesType>;

constexpr char kMethod[] = "forward";

TargetError refusal(const Contract& contract, const std::string& why) {
    return TargetError("ExecuTorch refuses " + contract.file.string() + ": " + why + kRefused);
}

void accept(Failure found, const Contract& contract) {
    if (found != Failure::Ok) throw refusal(contract, executorch::runtime::to_string(found));
}

/// The right to use the process's one pool of threads. Loaded programs keep a pointer into it, so that it must not
/// be made anew as long as one of them lives.
class PoolUser {
   public:
    explicit PoolUser(int threads) {
        const std::lock_guard lock(mutex_);
        auto* pool = threadpool::get_threadpool();
        const auto wanted = static_cast<std::uint32_t>(threads);
        if (threads > 0 && pool->get_thread_count() != wanted) {
            if (users_ > 0) throw another_count(threads, pool->get_thread_count());
            pool->_unsafe_reset_threadpool(wanted);
        }
        ++users_;
    }
    PoolUser(const PoolUser&) = delete;
    PoolUser& operator=(const PoolUser&) = delete;
    ~PoolUser() {
        const std::lock_guard lock(mutex_);
        --users_;
    }

   private:
    static UsageError another_count(int wanted, std::size_t found) {
        return UsageError("threads " + std::to_string(wanted) + " is not " + std::to_string(found) +
                          ", the size of the pool that all models of a process share in ExecuTorch" +
                          "\nGive all the same number, or 1, or destroy the others first.");
    }

    static inline std::mutex mutex_;
    static inline int users_ = 0;
};

/// Keeps what this thread does out of the pool.
std::optional<threadpool::NoThreadPoolGuard> on_this_thread(bool alone) {
    std::optional<threadpool::NoThreadPoolGuard> guard;
    if (alone) guard.emplace();
    return guard;
}

Sizes input_sizes(const Contract& contract) {
    return {1, 3, static_cast<Sizes::value_type>(contract.rows), static_cast<Sizes::value_type>(contract.columns)};
}

ScalarType input_type(const Contract& contract) { return contract.takes_bytes ? ScalarType::Byte : ScalarType::Float; }

/// Input and activations have memory of their own, the program is that of the engine.
template <typename T>
class ExecuTorchRequest : public Request {
   public:
    ExecuTorchRequest(std::shared_ptr<executorch::extension::Program> program, const Contract& contract, bool alone)
        : alone_(alone), module_(std::move(program)), values_(contract.input_values()) {
        const auto guard = on_this_thread(alone_);
        image_ = executorch::extension::from_blob(values_.data(), input_sizes(contract), input_type(contract));
        accept(module_.load_method(kMethod), contract);
    }

    void* input() override { return values_.data(); }

    void run() override {
        const auto guard = on_this_thread(alone_);
        auto made = module_.execute(kMethod, *image_);
        if (!made.ok()) {
            throw TargetError(std::string("ExecuTorch fails: ") + executorch::runtime::to_string(made.error()));
        }
        made_ = std::move(*made);
    }

    const float* output(std::size_t index) override { return made_[index].toTensor().template const_data_ptr<float>(); }

    std::vector<LayerTime> layer_times() override {
        throw TargetError("ExecuTorch does not tell the times of its nodes");
    }

   private:
    bool alone_;
    Module module_;
    std::vector<T> values_;
    executorch::extension::TensorPtr image_;
    std::vector<executorch::runtime::EValue> made_;  // views into the method's memory
};

class ExecuTorchEngine : public Engine {
   public:
    ExecuTorchEngine(const Contract& contract, int threads)
        : contract_(contract), alone_(threads == 1), module_(contract.file.string(), Module::LoadMode::Mmap) {
        if (!alone_) pool_.emplace(threads);
        accept(module_.load(), contract_);
        check();
        shapes_ = of_one_image(output_shapes());
        first_ = make();  // which tells whether all backends and kernels are there
    }

    const std::vector<Shape>& shapes() const override { return shapes_; }

    std::unique_ptr<Request> request() override {
        {
            const std::lock_guard lock(mutex_);
            if (first_) return std::move(first_);
        }
        return make();
    }

   private:
    std::unique_ptr<Request> make() const {
        if (contract_.takes_bytes) {
            return std::make_unique<ExecuTorchRequest<std::uint8_t>>(module_.program(), contract_, alone_);
        }
        return std::make_unique<ExecuTorchRequest<float>>(module_.program(), contract_, alone_);
    }

    void check() {
        const auto found = module_.method_meta(kMethod);
        accept(found.error(), contract_);
        const bool fits = found->num_inputs() == 1 && takes(found->input_tensor_meta(0)) &&
                          contract_.fits(output_shapes());
        if (!fits) throw refusal(contract_, kOtherwise);
    }

    bool takes(const Result<TensorInfo>& info) const {
        if (!info.ok() || info->scalar_type() != input_type(contract_)) return false;
        const auto found = info->sizes();
        return Sizes(found.begin(), found.end()) == input_sizes(contract_);
    }

    /// None for what is no array of float32.
    std::vector<Shape> output_shapes() {
        const auto found = module_.method_meta(kMethod);
        accept(found.error(), contract_);
        std::vector<Shape> shapes(found->num_outputs());
        for (std::size_t i = 0; i < shapes.size(); ++i) {
            const auto info = found->output_tensor_meta(i);
            if (!info.ok() || info->scalar_type() != ScalarType::Float) continue;
            for (const auto size : info->sizes()) shapes[i].push_back(static_cast<std::size_t>(size));
        }
        return shapes;
    }

    Contract contract_;
    bool alone_;
    std::optional<PoolUser> pool_;
    Module module_;
    std::vector<Shape> shapes_;
    std::mutex mutex_;
    std::unique_ptr<Request> first_;
};

}  // namespace

std::unique_ptr<Engine> load_engine(const Contract& contract, int threads, bool) {
    try {
        return std::make_unique<ExecuTorchEngine>(contract, threads);
    } catch (const Error&) {
        throw;
    } catch (const std::exception& error) {
        throw refusal(contract, error.what());
    }
}

const char* runtime_name() { return "executorch"; }

std::string runtime_version() { return CONVNEXT_EDGE_EXECUTORCH_VERSION; }

}  // namespace convnext_edge::detail
