#include <algorithm>
#include <mutex>
#include <utility>

#include "answers.hpp"
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

void check_task(const Info& info, const std::string& call) {
    if (info.task != call) {
        throw UsageError("the task of " + info.engine + " is " + info.task + ", not " + call + "\nCall " + info.task +
                         "(), or run() for all outputs.");
    }
}

}  // namespace

struct Model::State {
    State(const std::filesystem::path& folder, const Options& options);
    std::unique_ptr<Workspace::State> make_workspace();

    detail::Manifest manifest;
    std::vector<std::string> labels;
    Info info;
    std::vector<float> normalized;  // (3, 256)
    bool times_layers = false;
    std::unique_ptr<detail::Engine> engine;
    std::mutex mutex;             // of the pool
    std::vector<Workspace> pool;  // those not in use; each is of the engine above
};

struct Workspace::State {
    explicit State(Model::State& owner)
        : model(&owner),
          preprocessor(owner.manifest.frame, owner.manifest.interpolation),
          request(owner.engine->request()),
          answers(owner.labels) {
        const auto& shapes = owner.engine->shapes();
        for (std::size_t i = 0; i < shapes.size(); ++i) {
            outputs.push_back({owner.manifest.outputs[i], shapes[i], std::vector<float>(detail::count(shapes[i]))});
        }
    }

    template <typename T, typename Convert>
    void fill(const std::vector<std::uint8_t>& pixels, Convert convert);

    /// Throws UsageError before `infer`, and TargetError where an output is not finite.
    void check_outputs() const;

    enum class Done { kNothing, kPrepared, kInferred };

    Done done = Done::kNothing;
    Model::State* model;
    // Before the request, which must be destroyed first. Empty in the pool, which the model owns.
    std::shared_ptr<Model::State> keep_alive;
    detail::Preprocessor preprocessor;
    std::unique_ptr<detail::Request> request;
    std::vector<Output> outputs;
    detail::Answers answers;
};

Model::State::State(const std::filesystem::path& folder, const Options& options)
    : manifest(detail::read_manifest(folder)),
      labels(detail::read_labels(folder, manifest.classes)),
      normalized(normalization(manifest)) {
    check_threads(options);
    check_runtime(manifest);
    detail::find_filter(manifest.interpolation);
    const auto rows = static_cast<std::size_t>(manifest.frame.rows);
    const auto columns = static_cast<std::size_t>(manifest.frame.columns);
    engine = detail::load_engine({folder / manifest.engine, manifest.takes_bytes, rows, columns, manifest.outputs,
                                  manifest.classes},
                                 options.threads, options.time_layers);
    times_layers = options.time_layers;
    info = {manifest.engine,     manifest.runtime,     detail::runtime_version(), manifest.runtime_version,
            manifest.frame.rows, manifest.takes_bytes, manifest.classes,          manifest.frame.columns,
            manifest.task,       manifest.upright};
}

std::unique_ptr<Workspace::State> Model::State::make_workspace() {
    return std::make_unique<Workspace::State>(*this);
}

Model::Model(const std::filesystem::path& folder, const Options& options)
    : state_(std::make_shared<State>(folder, options)) {}
Model::~Model() = default;
Model::Model(const Model&) noexcept = default;
Model& Model::operator=(const Model&) noexcept = default;

const Info& Model::info() const noexcept { return state_->info; }

const std::vector<std::string>& Model::labels() const noexcept { return state_->labels; }

Workspace Model::workspace() const {
    auto made = state_->make_workspace();
    made->keep_alive = state_;
    return Workspace(std::move(made));
}

const std::vector<Output>& Model::run(const Image& image, Workspace& workspace) const {
    if (workspace.state().model != state_.get()) {
        throw UsageError("the workspace is not of this model\nTake one from its workspace().");
    }
    workspace.prepare(image);
    workspace.infer();
    return workspace.outputs();
}

const std::vector<Prediction>& Model::classify(const Image& image, std::size_t top_k, Workspace& workspace) const {
    check_task(info(), "classify");
    run(image, workspace);
    return workspace.rank(top_k);
}

const std::vector<Prediction>& Model::multilabel(const Image& image, Workspace& workspace) const {
    check_task(info(), "multilabel");
    run(image, workspace);
    return workspace.judge();
}

/// What `call` makes of a workspace of the pool.
template <typename Call>
auto Model::borrowing(Call call) const {
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
    auto found = call(workspace);
    // One that has thrown is not given back: nobody knows what the runtime left in it.
    const std::lock_guard lock(state_->mutex);
    state_->pool.push_back(std::move(workspace));
    return found;
}

std::vector<Output> Model::run(const Image& image) const {
    return borrowing([&](Workspace& workspace) { return run(image, workspace); });
}

std::vector<Prediction> Model::classify(const Image& image, std::size_t top_k) const {
    return borrowing([&](Workspace& workspace) { return classify(image, top_k, workspace); });
}

std::vector<Prediction> Model::multilabel(const Image& image) const {
    return borrowing([&](Workspace& workspace) { return multilabel(image, workspace); });
}

std::vector<float> Model::regress(const Image& image) const { return checked("regress", image).front().values; }

std::vector<float> Model::embed(const Image& image) const { return checked("embed", image).front().values; }

std::vector<Output> Model::features(const Image& image) const { return checked("features", image); }

std::vector<Output> Model::checked(const char* task, const Image& image) const {
    check_task(info(), task);
    return borrowing([&](Workspace& workspace) {
        run(image, workspace);
        workspace.state().check_outputs();
        return workspace.outputs();
    });
}

Workspace::Workspace(std::unique_ptr<State> state) : state_(std::move(state)) {}
Workspace::~Workspace() = default;
Workspace::Workspace(Workspace&&) noexcept = default;
Workspace& Workspace::operator=(Workspace&&) noexcept = default;

Workspace::State& Workspace::state() const {
    if (!state_) throw UsageError("the workspace was moved from\nTake another one from Model::workspace().");
    return *state_;
}

template <typename T, typename Convert>
void Workspace::State::fill(const std::vector<std::uint8_t>& pixels, Convert convert) {
    const std::size_t plane = pixels.size() / 3;
    auto* values = static_cast<T*>(request->input());
    for (std::size_t channel = 0; channel < 3; ++channel) {
        for (std::size_t i = 0; i < plane; ++i) {
            values[plane * channel + i] = convert(channel, pixels[3 * i + channel]);
        }
    }
}

const std::vector<std::uint8_t>& Workspace::prepare(const Image& image) {
    State& own = state();
    own.done = State::Done::kNothing;
    const auto& pixels = own.preprocessor.run(image);
    if (own.model->manifest.takes_bytes) {
        own.fill<std::uint8_t>(pixels, [](std::size_t, std::uint8_t value) { return value; });
    } else {
        const float* table = own.model->normalized.data();
        own.fill<float>(pixels, [table](std::size_t channel, std::uint8_t value) {
            return table[256 * channel + value];
        });
    }
    own.done = State::Done::kPrepared;
    return pixels;
}

void Workspace::set_input(const void* values, std::size_t bytes) {
    State& own = state();
    own.done = State::Done::kNothing;
    const auto& manifest = own.model->manifest;
    const std::size_t count = 3 * static_cast<std::size_t>(manifest.frame.rows) * static_cast<std::size_t>(manifest.frame.columns);
    const std::size_t expected = count * (manifest.takes_bytes ? 1 : sizeof(float));
    if (bytes != expected) {
        throw UsageError("the input has " + std::to_string(bytes) + " bytes\nGive " + std::to_string(expected) + ".");
    }
    std::copy_n(static_cast<const std::uint8_t*>(values), bytes, static_cast<std::uint8_t*>(own.request->input()));
    own.done = State::Done::kPrepared;
}

const std::vector<float>& Workspace::infer() {
    State& own = state();
    if (own.done == State::Done::kNothing) throw UsageError("no image was prepared\nCall prepare() before infer().");
    own.done = State::Done::kPrepared;
    own.request->run();
    for (std::size_t i = 0; i < own.outputs.size(); ++i) {
        auto& values = own.outputs[i].values;
        std::copy_n(own.request->output(i), values.size(), values.begin());
    }
    own.done = State::Done::kInferred;
    return own.outputs.front().values;
}

const std::vector<Output>& Workspace::outputs() const {
    State& own = state();
    if (own.done != State::Done::kInferred) throw UsageError("there are no outputs\nCall infer() first.");
    return own.outputs;
}

std::vector<LayerTime> Workspace::layer_times() const {
    State& own = state();
    if (!own.model->times_layers) {
        throw UsageError("the model was loaded without timing its nodes\nSet Options::time_layers.");
    }
    if (own.done != State::Done::kInferred) throw UsageError("there are no times\nCall infer() first.");
    return own.request->layer_times();
}

void Workspace::State::check_outputs() const {
    if (done != Done::kInferred) throw UsageError("there are no outputs\nCall infer() first.");
    for (const auto& output : outputs) {
        if (!detail::all_finite(output.values)) {
            throw TargetError("the " + output.name + " of " + model->manifest.engine +
                              " are not finite\nValidate it: convnext-edge validate.");
        }
    }
}

const std::vector<Prediction>& Workspace::rank(std::size_t top_k) {
    if (top_k == 0) throw UsageError("top_k 0 is less than 1\nGive a whole number from 1.");
    State& own = state();
    check_task(own.model->info, "classify");
    own.check_outputs();
    return own.answers.rank(own.outputs.front().values, top_k);
}

const std::vector<Prediction>& Workspace::judge() {
    State& own = state();
    check_task(own.model->info, "multilabel");
    own.check_outputs();
    return own.answers.judge(own.outputs.front().values);
}

}  // namespace convnext_edge
