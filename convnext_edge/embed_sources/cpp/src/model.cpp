#include <mutex>
#include <utility>

#include "convnext_edge.hpp"
#include "state.hpp"

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

void detail::check_task(const Info& info, const std::string& call) {
    if (info.task != call) {
        throw UsageError("the task of " + info.engine + " is " + info.task + ", not " + call + "\nCall " + info.task +
                         "(), or run() for all outputs.");
    }
}

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
                                  manifest.classes, manifest.task == "segment", manifest.detections},
                                 options.threads, options.time_layers);
    times_layers = options.time_layers;
    info = {manifest.engine,     manifest.runtime,     detail::runtime_version(), manifest.runtime_version,
            manifest.frame.rows, manifest.takes_bytes, manifest.classes,          manifest.frame.columns,
            manifest.task,       manifest.upright,     manifest.first_label,      manifest.detections};
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
    detail::check_task(info(), "classify");
    run(image, workspace);
    return workspace.rank(top_k);
}

const std::vector<Prediction>& Model::multilabel(const Image& image, Workspace& workspace) const {
    detail::check_task(info(), "multilabel");
    run(image, workspace);
    return workspace.judge();
}

const LabelMap& Model::segment(const Image& image, Workspace& workspace) const {
    detail::check_task(info(), "segment");
    run(image, workspace);
    return workspace.label_map();
}

const std::vector<Object>& Model::detect(const Image& image, float threshold, Workspace& workspace) const {
    detail::check_task(info(), "detect");
    run(image, workspace);
    return workspace.objects(threshold);
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

LabelMap Model::segment(const Image& image) const {
    return borrowing([&](Workspace& workspace) { return segment(image, workspace); });
}

std::vector<Object> Model::detect(const Image& image, float threshold) const {
    return borrowing([&](Workspace& workspace) { return detect(image, threshold, workspace); });
}

std::vector<float> Model::regress(const Image& image) const { return checked("regress", image).front().values; }

std::vector<float> Model::embed(const Image& image) const { return checked("embed", image).front().values; }

std::vector<Output> Model::features(const Image& image) const { return checked("features", image); }

std::vector<Output> Model::checked(const char* task, const Image& image) const {
    detail::check_task(info(), task);
    return borrowing([&](Workspace& workspace) {
        run(image, workspace);
        workspace.state().check_outputs();
        return workspace.outputs();
    });
}

}  // namespace convnext_edge
