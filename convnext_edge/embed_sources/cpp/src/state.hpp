// What a Model and a Workspace hold.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "answers.hpp"
#include "convnext_edge.hpp"
#include "manifest.hpp"
#include "objects.hpp"
#include "pixel_classes.hpp"
#include "preprocess.hpp"
#include "runtime.hpp"

namespace convnext_edge {
namespace detail {

/// Throws UsageError where `call` is for models of another task.
void check_task(const Info& info, const std::string& call);

}  // namespace detail

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
          answers(owner.labels),
          pixel_classes(owner.manifest.frame, owner.manifest.task == "segment"),
          objects(owner.labels, owner.manifest) {
        const auto& shapes = owner.engine->shapes();
        for (std::size_t i = 0; i < shapes.size(); ++i) {
            outputs.push_back({owner.manifest.outputs[i], shapes[i], std::vector<float>(detail::count(shapes[i]))});
        }
    }

    template <typename T, typename Convert>
    void fill(const std::vector<std::uint8_t>& pixels, Convert convert);

    /// Throws UsageError before `infer`, and TargetError where an output is not finite.
    void check_outputs() const;

    const std::vector<Object>& find_objects(float threshold, const detail::View& view);

    enum class Done { kNothing, kPrepared, kInferred };

    Done done = Done::kNothing;
    Model::State* model;
    // Before the request, which must be destroyed first. Empty in the pool, which the model owns.
    std::shared_ptr<Model::State> keep_alive;
    detail::Preprocessor preprocessor;
    std::unique_ptr<detail::Request> request;
    std::vector<Output> outputs;
    detail::Answers answers;
    detail::PixelClasses pixel_classes;
    detail::Objects objects;
    detail::View seen;  // the picture in the input
};

}  // namespace convnext_edge
