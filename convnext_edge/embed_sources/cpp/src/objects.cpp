#include "objects.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>

namespace convnext_edge {
namespace detail {
namespace {

constexpr float kNone = -1;  // label of a place without a detection
constexpr char kValidate[] = "\nValidate it: convnext-edge validate.";

/// A box of the input in pixels of a picture, which it may lie beyond.
Box in_picture(const float* box, const View& view) {
    const auto along = [](float place, int start, int edge, std::int64_t resized) {
        return (static_cast<double>(place) - start) * (edge / static_cast<double>(resized));
    };
    const auto x = [&](float place) { return along(place, view.fit.left, view.width, view.fit.width); };
    const auto y = [&](float place) { return along(place, view.fit.top, view.height, view.fit.height); };
    return {x(box[0]), y(box[1]), x(box[2]), y(box[3])};
}

/// A box cut off at the edges of a picture; of one that lies beyond, nothing is left.
Box cut_off(const Box& box, const View& view) {
    const auto along = [](double place, int edge) { return std::clamp(place, 0.0, static_cast<double>(edge)); };
    return {along(box.left, view.width), along(box.top, view.height), along(box.right, view.width),
            along(box.bottom, view.height)};
}

/// Whether a box lies in what a model sees of an image, but for rounding.
bool is_inside(const float* box, const Frame& frame) {
    const auto along = [](float place, int edge) { return place >= -1 && place <= static_cast<float>(edge + 1); };
    return along(box[0], frame.columns) && along(box[1], frame.rows) && along(box[2], frame.columns) &&
           along(box[3], frame.rows);
}

}  // namespace

View as_it_is(const Frame& frame) { return {frame.columns, frame.rows, {frame.columns, frame.rows, 0, 0}}; }

Objects::Objects(const std::vector<std::string>& labels, const Manifest& manifest)
    : labels_(labels), first_label_(manifest.first_label), engine_(manifest.engine), frame_(manifest.frame) {
    found_.reserve(manifest.detections);
}

const std::vector<Object>& Objects::find(const std::vector<Output>& outputs, float threshold, const View& view) {
    const auto& boxes = outputs[0].values;
    const auto& labels = outputs[1].values;
    const auto& scores = outputs[2].values;
    const auto& masks = outputs[3].values;
    found_.clear();
    for (std::size_t i = 0; i < labels.size(); ++i) {
        if (labels[i] == kNone || !(scores[i] > threshold)) continue;
        Object object;
        object.label = name_of(labels[i]);
        object.index = static_cast<std::size_t>(labels[i]);
        object.score = scores[i];
        if (!is_inside(boxes.data() + 4 * i, frame_)) {
            throw TargetError("a box of " + engine_ + " lies outside of its input" + kValidate);
        }
        object.whole = in_picture(boxes.data() + 4 * i, view);
        object.box = cut_off(object.whole, view);
        if (!(object.box.right > object.box.left && object.box.bottom > object.box.top)) continue;  // in the padding
        object.picture_width = view.width;
        object.picture_height = view.height;
        std::copy_n(masks.data() + object.likely.size() * i, object.likely.size(), object.likely.begin());
        found_.push_back(object);
    }
    return found_;
}

const std::string& Objects::name_of(float label) const {
    const auto count = static_cast<float>(labels_.size());
    if (label < static_cast<float>(first_label_) || label >= count || label != std::floor(label)) {
        throw TargetError("a label of " + engine_ + " is none of its " + std::to_string(labels_.size()) +
                          " classes" + kValidate);
    }
    return labels_[static_cast<std::size_t>(label)];
}

}  // namespace detail

namespace {

constexpr std::size_t kEdge = Object::kMaskEdge;
constexpr std::size_t kFramed = kEdge + 2;  // with a border of zeros
constexpr float kInside = 0.5F;             // likelihood over which a pixel is of the object

/// The pixels that a mask is drawn over along one axis, as torchvision's paste_masks_in_image has them: the box is as
/// much larger as the border makes the mask. Of these, those from `first` to `end` are in the picture.
struct Span {
    Span(double low, double high, int edge) {
        const double centre = (low + high) / 2;
        const double half = (high - low) / 2 * (static_cast<double>(kFramed) / kEdge);
        begin = static_cast<int>(centre - half);
        const int pixels = std::max(static_cast<int>(centre + half) - begin + 1, 1);
        scale = static_cast<float>(static_cast<double>(kFramed) / pixels);
        first = std::max(begin, 0);
        end = std::max(std::min(begin + pixels, edge), first);
    }

    int begin;
    int first;
    int end;
    float scale;  // rows or columns of the mask for each pixel
};

/// The two parts of a mask that a pixel lies between, and the share of the second; in float32, as NumPy computes it.
struct Neighbours {
    Neighbours(const Span& span, int pixel) {
        const float place = std::max((static_cast<float>(pixel - span.begin) + 0.5F) * span.scale - 0.5F, 0.0F);
        one = static_cast<std::size_t>(place);
        other = std::min(one + 1, kFramed - 1);
        share = place - static_cast<float>(one);
    }

    float mean(const float* values) const { return values[one] * (1 - share) + values[other] * share; }

    std::size_t one;
    std::size_t other;
    float share;
};

std::array<float, kFramed * kFramed> framed(const std::array<float, kEdge * kEdge>& likely) {
    std::array<float, kFramed * kFramed> made{};
    for (std::size_t row = 0; row < kEdge; ++row) {
        std::copy_n(likely.data() + kEdge * row, kEdge, made.data() + kFramed * (row + 1) + 1);
    }
    return made;
}

}  // namespace

void Object::draw(Mask& mask) const {
    const auto values = framed(likely);
    const Span across(whole.left, whole.right, picture_width);
    const Span down(whole.top, whole.bottom, picture_height);
    mask.left = across.first;
    mask.top = down.first;
    mask.width = across.end - across.first;
    mask.height = down.end - down.first;
    const auto stride = static_cast<std::size_t>(mask.width);
    mask.inside.resize(stride * static_cast<std::size_t>(mask.height));
    std::array<float, kFramed> column{};  // the mask at the place of a column of pixels
    for (int x = across.first; x < across.end; ++x) {
        const Neighbours beside(across, x);
        for (std::size_t row = 0; row < kFramed; ++row) column[row] = beside.mean(values.data() + kFramed * row);
        std::uint8_t* pixel = mask.inside.data() + (x - across.first);
        for (int y = down.first; y < down.end; ++y, pixel += stride) {
            *pixel = Neighbours(down, y).mean(column.data()) > kInside ? 1 : 0;
        }
    }
}

Mask Object::mask() const {
    Mask made;
    draw(made);
    return made;
}

}  // namespace convnext_edge
