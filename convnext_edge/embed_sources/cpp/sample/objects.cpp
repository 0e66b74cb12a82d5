#include "objects.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <utility>

#include "json.hpp"

namespace {

using convnext_edge::Box;
using convnext_edge::color_of;
using convnext_edge::Mask;
using convnext_edge::Object;

constexpr double kCover = 0.4;  // share of an object's colour
constexpr int kLine = 2;        // pixels

/// Lengths of runs, of zeros first.
class Runs {
   public:
    void add(std::uint8_t value, long count) {
        if (count == 0) return;
        if (value != before_) {
            lengths_.push_back(length_);
            length_ = 0;
            before_ = value;
        }
        length_ += count;
        total_ += count;
    }

    /// All of them, after zeros up to `total`.
    std::vector<long> up_to(long total) {
        add(0, total - total_);
        lengths_.push_back(length_);
        return std::move(lengths_);
    }

   private:
    std::vector<long> lengths_;
    std::uint8_t before_ = 0;
    long length_ = 0;
    long total_ = 0;
};

/// Down the columns of the whole picture.
std::vector<long> run_lengths(const Object& object) {
    const Mask mask = object.mask();
    const long rows = object.picture_height;
    Runs runs;
    for (int x = 0; x < mask.width; ++x) {
        runs.add(0, x == 0 ? rows * mask.left + mask.top : rows - mask.height);
        const std::uint8_t* pixel = mask.inside.data() + x;
        for (int y = 0; y < mask.height; ++y, pixel += mask.width) runs.add(*pixel, 1);
    }
    return runs.up_to(rows * object.picture_width);
}

/// Run lengths as COCO's tools write them: see `as_text` of convnext_edge/images/objects.py.
std::string text_of(const std::vector<long>& counts) {
    std::string made;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        long rest = counts[i] - (i > 2 ? counts[i - 2] : 0);
        for (bool more = true; more;) {
            const long bits = rest & 0x1f;
            rest >>= 5;
            more = rest != ((bits & 0x10) != 0 ? -1 : 0);
            made += static_cast<char>('0' + bits + (more ? 0x20 : 0));
        }
    }
    return made;
}

/// What is drawn on: pixels (height, width, 3), of which those outside are left out.
class Canvas {
   public:
    Canvas(std::vector<std::uint8_t>& samples, int width, int height) : samples_(samples), width_(width), height_(height) {}

    void fill(int left, int top, int right, int bottom, const std::array<std::uint8_t, 3>& color) {
        for (int y = std::max(top, 0); y <= std::min(bottom, height_ - 1); ++y) {
            for (int x = std::max(left, 0); x <= std::min(right, width_ - 1); ++x) {
                std::copy(color.begin(), color.end(), samples_.begin() + 3 * (static_cast<std::ptrdiff_t>(y) * width_ + x));
            }
        }
    }

    /// The pixels that Pillow's `rectangle` draws as an outline.
    void outline(const Box& box, const std::array<std::uint8_t, 3>& color) {
        const auto [left, top] = std::pair(static_cast<int>(box.left), static_cast<int>(box.top));
        const auto [right, bottom] = std::pair(static_cast<int>(box.right), static_cast<int>(box.bottom));
        fill(left, top, right, top + kLine - 1, color);
        fill(left, bottom - kLine + 1, right, bottom, color);
        // its lines leave their last pixel out, and those of a low box run upwards
        const auto [one, other] = std::pair(top + kLine, bottom - kLine + 1);
        const auto [high, low] = one < other ? std::pair(one, other - 1) : std::pair(other + 1, one);
        fill(right - kLine + 1, high, right, low, color);
        fill(left, high, left + kLine - 1, low, color);
    }

   private:
    std::vector<std::uint8_t>& samples_;
    int width_;
    int height_;
};

std::array<std::uint8_t, 3> color_for(const Object& object) { return color_of(1 + object.index % 255); }

/// Mixes the colour of an object into its pixels. pixels: (height, width, 3).
void cover(std::vector<float>& pixels, int width, const Object& object) {
    const auto color = color_for(object);
    const Mask mask = object.mask();
    auto inside = mask.inside.begin();
    for (int y = mask.top; y < mask.top + mask.height; ++y) {
        for (int x = mask.left; x < mask.left + mask.width; ++x) {
            if (*inside++ == 0) continue;
            float* pixel = pixels.data() + 3 * (static_cast<std::ptrdiff_t>(y) * width + x);
            for (const std::uint8_t share : color) {
                *pixel = static_cast<float>(static_cast<float>(1 - kCover) * *pixel + kCover * share);
                ++pixel;
            }
        }
    }
}

}  // namespace

std::string segmentation_json(const Object& object) {
    const std::vector<std::string> size = {std::to_string(object.picture_height), std::to_string(object.picture_width)};
    return "{\"size\": " + list(size) + ", \"counts\": " + quoted(text_of(run_lengths(object))) + "}";
}

Drawing overlay(const std::vector<std::uint8_t>& pixels, const std::vector<Object>& objects, int width, int height) {
    std::vector<float> mixed(pixels.begin(), pixels.end());
    std::for_each(objects.rbegin(), objects.rend(), [&](const Object& object) { cover(mixed, width, object); });
    Drawing made{width, height, std::vector<std::uint8_t>(pixels.size()), {}};
    const auto rounded = [](float value) { return static_cast<std::uint8_t>(std::nearbyint(value)); };
    std::transform(mixed.begin(), mixed.end(), made.samples.begin(), rounded);
    Canvas canvas(made.samples, width, height);
    std::for_each(objects.rbegin(), objects.rend(),
                  [&](const Object& object) { canvas.outline(object.box, color_for(object)); });
    return made;
}
