// Resizing as Pillow does it (see "Filters" in its handbook, docs/handbook/concepts.rst): the kernel is stretched by
// the factor of reduction, evaluated in double precision at the centres of the source pixels and normalized to a
// sum of 1; weights are rounded to fixed point; rows and columns are resized in turn, with 8-bit samples in between.
// PyTorch resizes 8-bit tensors in the same way with fewer bits (aten/src/ATen/native/cpu/UpSampleKernel.cpp).

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
    if (name == "bicubic") return {2.0, bicubic, true};
    if (name == "bilinear") return {1.0, bilinear, true};
    if (name == "box") return {0.5, box, false};
    if (name == "hamming") return {1.0, hamming, false};
    if (name == "lanczos") return {3.0, lanczos, false};
    if (name == "nearest") return {0.0, nullptr, false};
    throw ArtifactError("interpolation '" + name +
                        "' is not known\nKnown: bicubic, bilinear, box, hamming, lanczos, nearest.");
}

void Taps::compute(const Filter& filter, const Axis& axis) {
    const double scale = static_cast<double>(axis.source) / axis.target;
    const double stretch = std::max(scale, 1.0);
    const auto outputs = static_cast<std::size_t>(axis.count);
    width_ = 2 * static_cast<std::size_t>(std::ceil(filter.support * stretch)) + 1;
    begins_.resize(outputs);
    ends_.resize(outputs);
    weights_.resize(width_ * outputs);
    exact_.resize(width_);
    bits_ = kPrecision;
    if (filter.at == nullptr) return compute_nearest(axis);
    if (axis.few_bits && filter.of_tensors) choose_bits(filter, axis, scale, stretch);
    for (std::size_t output = 0; output < outputs; ++output) {
        const double centre = (static_cast<double>(axis.first) + static_cast<double>(output) + 0.5) * scale;
        const Span span = compute_exact(filter, centre, stretch, axis.source);
        for (std::size_t i = 0; i < span.count; ++i) {
            const double weight = exact_[i] * (1 << bits_);
            weights_[width_ * output + i] = static_cast<std::int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
        }
        begins_[output] = span.begin;
        ends_[output] = span.begin + static_cast<int>(span.count);
    }
}

Taps::Span Taps::compute_exact(const Filter& filter, double centre, double stretch, int source) {
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
    for (std::size_t i = 0; i < count; ++i) exact_[i] = sum != 0.0 ? exact_[i] / sum : exact_[i];
    return {begin, count};
}

/// As many bits as let the largest weight of the whole axis fit into 16, with its sign.
void Taps::choose_bits(const Filter& filter, const Axis& axis, double scale, double stretch) {
    double largest = 0.0;
    for (int output = 0; output < axis.target; ++output) {
        const Span span = compute_exact(filter, (output + 0.5) * scale, stretch, axis.source);
        for (std::size_t i = 0; i < span.count; ++i) largest = std::max(largest, exact_[i]);
    }
    bits_ = 0;
    while (bits_ < kPrecision && static_cast<int>(0.5 + largest * (1 << (bits_ + 1))) < 1 << 15) ++bits_;
}

/// Adds the scale up from output to output, as Pillow does, whose rounding shows where a pixel's middle is an edge.
void Taps::compute_nearest(const Axis& axis) {
    const double scale = static_cast<double>(axis.source) / axis.target;
    double place = scale * 0.5;
    for (int output = 0; output < axis.first; ++output) place += scale;
    for (std::size_t output = 0; output < begins_.size(); ++output, place += scale) {
        begins_[output] = std::min(static_cast<int>(place), axis.source - 1);
        ends_[output] = begins_[output] + 1;
        weights_[width_ * output] = 1 << bits_;
    }
}

}  // namespace convnext_edge::detail
