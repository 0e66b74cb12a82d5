#include "maps.hpp"

#include <array>
#include <cstdint>
#include <system_error>
#include <utility>
#include <vector>

#include "png_writer.hpp"

namespace {

using convnext_edge::color_of;
using convnext_edge::LabelMap;
using convnext_edge::Model;
using convnext_edge::UsageError;

constexpr std::size_t kMostClasses = 256;  // that a byte for each pixel tells apart

const Model& checked(const Model& model) {
    const auto& info = model.info();
    if (info.task != "segment" && info.task != "detect") {
        throw UsageError("--maps means nothing to a model of the task " + info.task +
                         "\nLeave it out; it is for segment and detect.");
    }
    if (info.task == "segment" && info.classes > kMostClasses) {
        throw UsageError("--maps: a label map has a byte for each pixel, and the model has " +
                         std::to_string(info.classes) + " classes\nCall segment() of the library.");
    }
    return model;
}

std::vector<std::array<std::uint8_t, 3>> palette() {
    std::vector<std::array<std::uint8_t, 3>> colors;
    for (std::size_t index = 0; index < kMostClasses; ++index) colors.push_back(color_of(index));
    return colors;
}

/// The mean of two bytes; of a half, the even one, as NumPy's rint has it.
std::uint8_t mean(unsigned a, unsigned b) {
    const unsigned half = (a + b) / 2;
    return static_cast<std::uint8_t>(half + ((a + b) & half & 1U));
}

/// pixels: (height, width, 3).
Drawing overlay(const std::vector<std::uint8_t>& pixels, const LabelMap& map) {
    Drawing made{map.width, map.height, std::vector<std::uint8_t>(pixels.size()), {}};
    for (std::size_t i = 0; i < pixels.size(); ++i) {
        made.samples[i] = mean(pixels[i], color_of(map.classes[i / 3])[i % 3]);
    }
    return made;
}

}  // namespace

MapWriter::MapWriter(const Model& model, std::filesystem::path folder)
    : workspace_(checked(model).workspace()),
      width_(model.info().width),
      height_(model.info().resolution),
      folder_(std::move(folder)) {
    std::error_code failed;
    std::filesystem::create_directories(folder_, failed);
    if (!std::filesystem::is_directory(folder_, failed)) {
        throw UsageError("--maps " + folder_.string() + " is no folder, and cannot be made\nName another one.");
    }
}

Segments MapWriter::write(const convnext_edge::Image& image, const std::string& picture) {
    const std::vector<std::uint8_t>& pixels = workspace_.prepare(image);
    workspace_.infer();
    const LabelMap& map = workspace_.label_map();
    const std::string name = name_of(picture);
    const auto label_map = folder_ / (name + ".labels.png");
    const auto drawn = folder_ / (name + ".overlay.png");
    Drawing labels{map.width, map.height, {}, palette()};
    for (const std::uint32_t index : map.classes) labels.samples.push_back(static_cast<std::uint8_t>(index));
    write_png(label_map, labels);
    write_png(drawn, overlay(pixels, map));
    return {map, label_map.string(), drawn.string()};
}

Objects MapWriter::write_objects(const convnext_edge::Image& image, const std::string& picture, float threshold) {
    const std::vector<std::uint8_t>& pixels = workspace_.prepare(image);
    workspace_.infer();
    const auto drawn = folder_ / (name_of(picture) + ".overlay.png");
    write_png(drawn, overlay(pixels, workspace_.objects_as_seen(threshold), width_, height_));
    return {workspace_.objects(threshold), drawn.string()};
}

std::string MapWriter::name_of(const std::string& picture) {
    const std::string stem = std::filesystem::path(picture).stem().string();
    const std::string first = stem.empty() ? "picture" : stem;
    std::string name = first;
    for (int number = 2; !used_.insert(name).second; ++number) name = first + "_" + std::to_string(number);
    return name;
}
