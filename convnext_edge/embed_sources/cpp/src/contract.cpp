#include <algorithm>
#include <functional>
#include <numeric>

#include "convnext_edge.hpp"
#include "runtime.hpp"

namespace convnext_edge::detail {

std::size_t count(const Shape& shape) {
    return std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>());
}

namespace {

/// Whether shapes are those of a detector, but for the axis of the batch.
bool are_detections(const std::vector<Shape>& shapes, std::size_t places) {
    const std::size_t edge = Object::kMaskEdge;
    const std::vector<Shape> expected = {{places, 4}, {places}, {places}, {places, edge, edge}};
    const auto fits = [](const Shape& found, const Shape& wanted) {
        return found.size() == wanted.size() + 1 && found[0] <= 1 && std::equal(wanted.begin(), wanted.end(), found.begin() + 1);
    };
    return std::equal(shapes.begin(), shapes.end(), expected.begin(), expected.end(), fits);
}

}  // namespace

bool Contract::fits(const std::vector<Shape>& shapes) const {
    if (shapes.size() != outputs.size()) return false;
    if (detections > 0) return are_detections(shapes, detections);
    for (std::size_t i = 0; i < shapes.size(); ++i) {
        const Shape& shape = shapes[i];
        const bool is_map = of_pixels || outputs[i].compare(0, 3, "map") == 0;
        if (shape.size() != (is_map ? 4 : 2) || shape[0] > 1) return false;
        if (std::find(shape.begin() + 1, shape.end(), 0) != shape.end()) return false;
        if (i == 0 && classes > 0 && shape[1] != classes) return false;
        if (of_pixels && (shape[2] != rows || shape[3] != columns)) return false;
    }
    return true;
}

std::vector<Shape> of_one_image(std::vector<Shape> shapes) {
    for (Shape& shape : shapes) shape.erase(shape.begin());
    return shapes;
}

}  // namespace convnext_edge::detail
