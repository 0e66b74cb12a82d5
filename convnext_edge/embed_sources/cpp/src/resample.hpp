#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace convnext_edge::detail {

/// A kernel as Pillow defines it: its half width, and its value at a distance in (scaled) pixels.
struct Filter {
    double support;
    double (*at)(double distance);  // null: the nearest pixel
    bool of_tensors;                // whether PyTorch resizes 8-bit tensors with it
};

/// The kernel of that name: bicubic, bilinear, box, hamming, lanczos or nearest. Throws ArtifactError.
Filter find_filter(const std::string& name);

/// A resize along one axis, of which some outputs are wanted.
struct Axis {
    int source;     // pixels
    int target;     // pixels
    int first;      // output that is wanted
    int count;      // outputs that are wanted
    bool few_bits;  // whether weights have 16 bits, as PyTorch's of 8-bit tensors
};

/// Bits behind the point of a weight, as in Pillow: 32, less 8 of a sample and 2 for what overshoots.
constexpr int kPrecision = 32 - 8 - 2;

/// Along one axis: which source pixels make an output pixel, and how much of each, in fixed point.
class Taps {
   public:
    void compute(const Filter& filter, const Axis& axis);

    int begin(int output) const { return begins_[static_cast<std::size_t>(output)]; }
    int end(int output) const { return ends_[static_cast<std::size_t>(output)]; }

    /// Weights of the source pixels `begin(output)` to `end(output)`.
    const std::int32_t* weights(int output) const {
        return weights_.data() + width_ * static_cast<std::size_t>(output);
    }

    /// What a sum of weighted samples begins with, so that it is rounded.
    std::int32_t half() const { return std::int32_t{1} << bits_ >> 1; }

    /// Such a sum as a sample.
    std::uint8_t sample(std::int32_t sum) const {
        return static_cast<std::uint8_t>(std::clamp(sum >> bits_, std::int32_t{0}, std::int32_t{255}));
    }

   private:
    struct Span {
        int begin;
        std::size_t count;
    };
    /// Leaves the weights of an output in `exact_`.
    Span compute_exact(const Filter& filter, double centre, double stretch, int source);
    void choose_bits(const Filter& filter, const Axis& axis, double scale, double stretch);
    void compute_nearest(const Axis& axis);

    int bits_ = kPrecision;  // behind the point of a weight
    std::size_t width_ = 0;  // most weights of an output
    std::vector<int> begins_;
    std::vector<int> ends_;
    std::vector<std::int32_t> weights_;
    std::vector<double> exact_;
};

}  // namespace convnext_edge::detail
