#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace convnext_edge::detail {

/// A kernel as Pillow defines it: its half width, and its value at a distance in (scaled) pixels.
struct Filter {
    double support;
    double (*at)(double distance);
};

/// The kernel of that name: bicubic, bilinear, box, hamming or lanczos. Throws ArtifactError.
Filter find_filter(const std::string& name);

/// Along one axis: which source pixels make an output pixel, and how much of each, in fixed point.
class Taps {
   public:
    /// For the outputs `first` to `first + count` of a resize from `source` to `target` pixels.
    void compute(const Filter& filter, int source, int target, int first, int count);

    int begin(int output) const { return begins_[static_cast<std::size_t>(output)]; }
    int end(int output) const { return ends_[static_cast<std::size_t>(output)]; }

    /// Weights of the source pixels `begin(output)` to `end(output)`.
    const std::int32_t* weights(int output) const {
        return weights_.data() + width_ * static_cast<std::size_t>(output);
    }

   private:
    void compute_one(const Filter& filter, double centre, double stretch, int source, std::size_t output);

    std::size_t width_ = 0;  // most weights of an output
    std::vector<int> begins_;
    std::vector<int> ends_;
    std::vector<std::int32_t> weights_;
    std::vector<double> exact_;
};

/// Bits behind the point of a weight, as in Pillow: 32, less 8 of a sample and 2 for what overshoots.
constexpr int kPrecision = 32 - 8 - 2;
constexpr std::int32_t kHalf = std::int32_t{1} << (kPrecision - 1);

/// A sum of weighted samples, which began with kHalf, as a sample.
std::uint8_t to_sample(std::int32_t sum);

}  // namespace convnext_edge::detail
