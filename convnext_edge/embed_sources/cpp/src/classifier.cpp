#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>
#include <utility>

#include "convnext_edge.hpp"
#include "manifest.hpp"
#include "preprocess.hpp"
#include "runtime.hpp"

namespace convnext_edge {
namespace {

/// (value / 255 - mean) / standard deviation by channel, in float32 as NumPy computes it.
std::vector<float> normalization(const detail::Manifest& manifest) {
    std::vector<float> table;
    for (std::size_t channel = 0; channel < 3; ++channel) {
        const auto mean = static_cast<float>(manifest.mean[channel]);
        const auto deviation = static_cast<float>(manifest.deviation[channel]);
        for (int value = 0; value < 256; ++value) {
            table.push_back((static_cast<float>(value) / 255.0F - mean) / deviation);
        }
    }
    return table;
}

void check_runtime(const detail::Manifest& manifest) {
    if (manifest.runtime != detail::runtime_name()) {
        throw TargetError(manifest.engine + " is an engine for " + manifest.runtime + ", this library was built for " +
                          detail::runtime_name() + "\nRun cmake again on the folder of the engine.");
    }
}

constexpr int kMaxThreads = 1024;  // more than any machine has cores; runtimes start as many as they are told

void check_threads(const Options& options) {
    if (options.threads < 0 || options.threads > kMaxThreads) {
        const std::string given = std::to_string(options.threads);
        const std::string most = std::to_string(kMaxThreads);
        throw UsageError("threads " + given + " is out of range\nGive a whole number from 1 to " + most +
                         ", or 0 for all cores.");
    }
}

}  // namespace

struct Classifier::State {
    State(const std::filesystem::path& folder, const Options& options);
    std::unique_ptr<Workspace::State> make_workspace();

    detail::Manifest manifest;
    std::vector<std::string> labels;
    Info info;
    std::vector<float> normalized;  // (3, 256)
    std::unique_ptr<detail::Engine> engine;
    std::mutex mutex;             // of the pool
    std::vector<Workspace> pool;  // those not in use; each is of the engine above
};

struct Workspace::State {
    explicit State(Classifier::State& owner)
        : model(&owner),
          preprocessor(owner.manifest.resolution, owner.manifest.crop, owner.manifest.interpolation),
          request(owner.engine->request()),
          logits(owner.manifest.classes),
          order(owner.manifest.classes) {
        predictions.reserve(owner.manifest.classes);
    }

    template <typename T, typename Convert>
    void fill(const std::vector<std::uint8_t>& square, Convert convert);

    enum class Done { kNothing, kPrepared, kInferred };

    Done done = Done::kNothing;
    Classifier::State* model;
    // Before the request, which must be destroyed first. Empty in the pool, which the model owns.
    std::shared_ptr<Classifier::State> keep_alive;
    detail::Preprocessor preprocessor;
    std::unique_ptr<detail::Request> request;
    std::vector<float> logits;
    std::vector<std::size_t> order;
    std::vector<Prediction> predictions;
};

Classifier::State::State(const std::filesystem::path& folder, const Options& options)
    : manifest(detail::read_manifest(folder)),
      labels(detail::read_labels(folder, manifest.classes)),
      normalized(normalization(manifest)) {
    check_threads(options);
    check_runtime(manifest);
    detail::find_filter(manifest.interpolation);
    const auto edge = static_cast<std::size_t>(manifest.resolution);
    engine = detail::load_engine({folder / manifest.engine, manifest.takes_bytes, edge, manifest.classes},
                                 options.threads);
    info = {manifest.engine,     manifest.runtime,     detail::runtime_version(), manifest.runtime_version,
            manifest.resolution, manifest.takes_bytes, manifest.classes};
}

std::unique_ptr<Workspace::State> Classifier::State::make_workspace() {
    return std::make_unique<Workspace::State>(*this);
}

Classifier::Classifier(const std::filesystem::path& folder, const Options& options)
    : state_(std::make_shared<State>(folder, options)) {}
Classifier::~Classifier() = default;
Classifier::Classifier(const Classifier&) noexcept = default;
Classifier& Classifier::operator=(const Classifier&) noexcept = default;

const Info& Classifier::info() const noexcept { return state_->info; }

const std::vector<std::string>& Classifier::labels() const noexcept { return state_->labels; }

Workspace Classifier::workspace() const {
    auto made = state_->make_workspace();
    made->keep_alive = state_;
    return Workspace(std::move(made));
}

const std::vector<Prediction>& Classifier::classify(const Image& image, std::size_t top_k,
                                                    Workspace& workspace) const {
    if (workspace.state().model != state_.get()) {
        throw UsageError("the workspace is not of this classifier\nTake one from its workspace().");
    }
    workspace.prepare(image);
    workspace.infer();
    return workspace.rank(top_k);
}

std::vector<Prediction> Classifier::classify(const Image& image, std::size_t top_k) const {
    const auto borrow = [this]() -> Workspace {
        {
            const std::lock_guard lock(state_->mutex);
            if (!state_->pool.empty()) {
                Workspace taken = std::move(state_->pool.back());
                state_->pool.pop_back();
                return taken;
            }
        }
        return Workspace(state_->make_workspace());
    };
    Workspace workspace = borrow();
    std::vector<Prediction> found = classify(image, top_k, workspace);
    // One that has thrown is not given back: nobody knows what the runtime left in it.
    const std::lock_guard lock(state_->mutex);
    state_->pool.push_back(std::move(workspace));
    return found;
}

Workspace::Workspace(std::unique_ptr<State> state) : state_(std::move(state)) {}
Workspace::~Workspace() = default;
Workspace::Workspace(Workspace&&) noexcept = default;
Workspace& Workspace::operator=(Workspace&&) noexcept = default;

Workspace::State& Workspace::state() const {
    if (!state_) throw UsageError("the workspace was moved from\nTake another one from Classifier::workspace().");
    return *state_;
}

template <typename T, typename Convert>
void Workspace::State::fill(const std::vector<std::uint8_t>& square, Convert convert) {
    const std::size_t plane = square.size() / 3;
    auto* values = static_cast<T*>(request->input());
    for (std::size_t channel = 0; channel < 3; ++channel) {
        for (std::size_t i = 0; i < plane; ++i) {
            values[plane * channel + i] = convert(channel, square[3 * i + channel]);
        }
    }
}

const std::vector<std::uint8_t>& Workspace::prepare(const Image& image) {
    State& own = state();
    own.done = State::Done::kNothing;
    const auto& square = own.preprocessor.run(image);
    if (own.model->manifest.takes_bytes) {
        own.fill<std::uint8_t>(square, [](std::size_t, std::uint8_t value) { return value; });
    } else {
        const float* table = own.model->normalized.data();
        own.fill<float>(square, [table](std::size_t channel, std::uint8_t value) {
            return table[256 * channel + value];
        });
    }
    own.done = State::Done::kPrepared;
    return square;
}

const std::vector<float>& Workspace::infer() {
    State& own = state();
    if (own.done == State::Done::kNothing) throw UsageError("no image was prepared\nCall prepare() before infer().");
    own.done = State::Done::kPrepared;
    const float* made = own.request->run();
    std::copy_n(made, own.logits.size(), own.logits.begin());
    own.done = State::Done::kInferred;
    return own.logits;
}

const std::vector<Prediction>& Workspace::rank(std::size_t top_k) {
    if (top_k == 0) throw UsageError("top_k 0 is less than 1\nGive a whole number from 1.");
    State& own = state();
    if (own.done != State::Done::kInferred) throw UsageError("there are no logits\nCall infer() before rank().");
    const auto& logits = own.logits;
    if (!std::all_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); })) {
        throw TargetError("the logits of " + own.model->manifest.engine +
                          " are not finite\nValidate it: convnext-edge validate.");
    }
    auto& order = own.order;
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto end = order.begin() + static_cast<std::ptrdiff_t>(std::min(top_k, order.size()));
    std::partial_sort(order.begin(), end, order.end(), [&logits](std::size_t a, std::size_t b) {
        return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
    });
    const double largest = logits[order.front()];
    const double sum = std::accumulate(logits.begin(), logits.end(), 0.0, [largest](double total, float logit) {
        return total + std::exp(logit - largest);
    });
    auto& predictions = own.predictions;
    predictions.clear();
    for (auto index = order.begin(); index != end; ++index) {
        const float probability = static_cast<float>(std::exp(logits[*index] - largest) / sum);
        predictions.push_back({*index, own.model->labels[*index], logits[*index], probability});
    }
    return predictions;
}

}  // namespace convnext_edge
