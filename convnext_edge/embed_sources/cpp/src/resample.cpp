// Resizing as Pillow does it (see "Filters" in its handbook, docs/handbook/concepts.rst): the kernel is stretched by
// the factor of reduction, evaluated in double precision at the centres of the source pixels and normalized to a
// sum of 1; weights are rounded to fixed point; rows and columns are resized in turn, with 8-bit samples in between.

#include "resample.hpp"

#include <algorithm>
#include <cmath>

#include "convnext_edge.hpp"

namespace convnext_edge::detail {
namespace {

constexpr double kPi = 3.14159265358979323846;

double sinc(double x) { return x == 0.0 ? 1.0 : std::sin(kPi * x) / (kPi * x); }

double box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

double bilinear(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

double hamming(double x) { return std::abs(x) < 1.0 ? sinc(x) * (0.54 + 0.46 * std::cos(kPi * x)) : 0.0; }

/// Keys' cubic convolution with a = -0.5.
double bicubic(double x) {
    constexpr double a = -0.5;
    const double d = std::abs(x);
    if (d < 1.0) return ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
    if (d < 2.0) return (((d - 5.0) * d + 8.0) * d - 4.0) * a;
    return 0.0;
}

double lanczos(double x) { return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0; }

}  // namespace

Filter find_filter(const std::string& name) {
    if (name == "bicubic") return {2.0, bicubic};
    if (name == "bilinear") return {1.0, bilinear};
    if (name == "box") return {0.5, box};
    if (name == "hamming") return {1.0, hamming};
    if (name == "lanczos") return {3.0, lanczos};
    throw ArtifactError("interpolation '" + name + "' is not known\nKnown: bicubic, bilinear, box, hamming, lanczos.");
}

void Taps::compute(const Filter& filter, int source, int target, int first, int count) {
    const double scale = static_cast<double>(source) / target;
    const double stretch = std::max(scale, 1.0);
    width_ = 2 * static_cast<std::size_t>(std::ceil(filter.support * stretch)) + 1;
    const auto outputs = static_cast<std::size_t>(count);
    begins_.resize(outputs);
    ends_.resize(outputs);
    weights_.resize(width_ * outputs);
    exact_.resize(width_);
    for (std::size_t i = 0; i < outputs; ++i) {
        const double centre = (static_cast<double>(first) + static_cast<double>(i) + 0.5) * scale;
        compute_one(filter, centre, stretch, source, i);
    }
}

void Taps::compute_one(const Filter& filter, double centre, double stretch, int source, std::size_t output) {
    const double support = filter.support * stretch;
    const double inverse = 1.0 / stretch;
    const int begin = std::max(static_cast<int>(centre - support + 0.5), 0);
    const int end = std::min(static_cast<int>(centre + support + 0.5), source);
    const auto count = static_cast<std::size_t>(std::max(end - begin, 0));
    double sum = 0.0;
    for (std::size_t i = 0; i < count; ++i) {
        exact_[i] = filter.at((static_cast<double>(i) + begin - centre + 0.5) * inverse);
        sum += exact_[i];
    }
    for (std::size_t i = 0; i < count; ++i) {
        const double weight = (sum != 0.0 ? exact_[i] / sum : exact_[i]) * (1 << kPrecision);
        weights_[width_ * output + i] = static_cast<std::int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    begins_[output] = begin;
    ends_[output] = begin + static_cast<int>(count);
}

std::uint8_t to_sample(std::int32_t sum) {
    return static_cast<std::uint8_t>(std::clamp(sum >> kPrecision, std::int32_t{0}, std::int32_t{255}));
}

}  // namespace convnext_edge::detail
