#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "convnext_edge.hpp"
#include "state.hpp"

namespace convnext_edge {

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
    own.seen = {image.width, image.height, own.preprocessor.fit()};
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
    own.seen = detail::as_it_is(manifest.frame);
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
    detail::check_task(own.model->info, "classify");
    own.check_outputs();
    return own.answers.rank(own.outputs.front().values, top_k);
}

const std::vector<Prediction>& Workspace::judge() {
    State& own = state();
    detail::check_task(own.model->info, "multilabel");
    own.check_outputs();
    return own.answers.judge(own.outputs.front().values);
}

const LabelMap& Workspace::label_map() {
    State& own = state();
    detail::check_task(own.model->info, "segment");
    own.check_outputs();
    return own.pixel_classes.find(own.outputs.front().values);
}

const std::vector<Object>& Workspace::State::find_objects(float threshold, const detail::View& view) {
    detail::check_task(model->info, "detect");
    if (std::isnan(threshold)) throw UsageError("the threshold is no number\nGive one from 0 to 1.");
    check_outputs();
    return objects.find(outputs, threshold, view);
}

const std::vector<Object>& Workspace::objects(float threshold) {
    State& own = state();
    return own.find_objects(threshold, own.seen);
}

const std::vector<Object>& Workspace::objects_as_seen(float threshold) {
    State& own = state();
    return own.find_objects(threshold, detail::as_it_is(own.model->manifest.frame));
}

}  // namespace convnext_edge
