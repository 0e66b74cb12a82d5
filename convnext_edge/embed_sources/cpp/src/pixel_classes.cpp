#include "pixel_classes.hpp"

#include <algorithm>
#include <cstdint>

namespace convnext_edge {
namespace detail {

PixelClasses::PixelClasses(const Frame& frame, bool wanted) {
    if (!wanted) return;
    map_.width = frame.columns;
    map_.height = frame.rows;
    largest_.resize(static_cast<std::size_t>(frame.rows) * static_cast<std::size_t>(frame.columns));
    map_.classes.resize(largest_.size());
}

const LabelMap& PixelClasses::find(const std::vector<float>& logits) {
    const std::size_t pixels = largest_.size();
    std::copy_n(logits.begin(), pixels, largest_.begin());
    std::fill(map_.classes.begin(), map_.classes.end(), 0U);
    // a class at a time, as its logits lie side by side
    for (std::size_t index = 1; index < logits.size() / pixels; ++index) {
        const float* const own = logits.data() + index * pixels;
        for (std::size_t i = 0; i < pixels; ++i) {
            if (own[i] > largest_[i]) {
                largest_[i] = own[i];
                map_.classes[i] = static_cast<std::uint32_t>(index);
            }
        }
    }
    return map_;
}

}  // namespace detail

// VOClabelcolormap of the VOC development kit (Everingham et al., 2010): the bits of the number, spread over the colours.
std::array<std::uint8_t, 3> color_of(std::size_t index) {
    std::array<std::uint8_t, 3> color{};
    for (unsigned bit = 8; bit-- > 0; index >>= 3U) {
        for (unsigned channel = 0; channel < 3; ++channel) {
            const auto lit = static_cast<unsigned>(index >> channel & 1U) << bit;
            color[channel] = static_cast<std::uint8_t>(color[channel] | lit);
        }
    }
    return color;
}

}  // namespace convnext_edge
