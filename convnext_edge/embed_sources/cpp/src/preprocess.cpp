#include "preprocess.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace convnext_edge::detail {
namespace {

constexpr std::int64_t kMaxPixels = (std::int64_t{1} << 30) / 12;  // MAX_PIXELS of images/decoding.py
constexpr int kMaxEdge = 1 << 30;                                  // so that no sum of two edges overflows

struct Size {
    std::int64_t width;
    std::int64_t height;
};

std::string pixels(const Image& image) { return std::to_string(image.width) + "x" + std::to_string(image.height); }

void check(const Image& image) {
    if (image.width < 1 || image.height < 1) {
        throw ImageError("an image of " + pixels(image) + " pixels has none\nGive width and height from 1.");
    }
    if (image.rgb == nullptr) {
        throw ImageError("the pixels of a " + pixels(image) + " image are a null pointer\nGive its RGB bytes.");
    }
    if (std::int64_t{image.width} * image.height > kMaxPixels) {
        throw ImageError(pixels(image) + " pixels, more than " + std::to_string(kMaxPixels) + " in all");
    }
    if (image.stride != 0 && image.stride < 3 * static_cast<std::size_t>(image.width)) {
        throw ImageError("a stride of " + std::to_string(image.stride) + " bytes is too short for " +
                         std::to_string(image.width) + " pixels a row\nGive the bytes from one row to the next, or 0.");
    }
}

/// To the nearest whole number, and halves to the even one, as Python's round() does.
std::int64_t nearest(double value) { return static_cast<std::int64_t>(value - std::remainder(value, 1.0)); }

/// Size before the crop.
Size resized(const Image& image, const Frame& frame) {
    const auto before = [&frame](int length) {
        return frame.resize > 0 ? frame.resize : static_cast<std::int64_t>(std::floor(length / frame.crop));
    };
    const auto edge = before(frame.rows);
    const auto wide = before(frame.columns);
    if (frame.mode == ResizeMode::squash) return {wide, edge};
    const bool inside = frame.mode == ResizeMode::pad || frame.mode == ResizeMode::corner;
    if (inside || edge != wide) {  // timm's ResizeKeepRatio: the image lies within both edges, or covers them
        const double down = image.height / static_cast<double>(edge);
        const double across = image.width / static_cast<double>(wide);
        const double ratio = inside ? std::max(down, across) : std::min(down, across);
        return {nearest(image.width / ratio), nearest(image.height / ratio)};
    }
    const auto scaled = [edge](int longer, int shorter) {
        return static_cast<std::int64_t>(static_cast<double>(edge * longer) / shorter);
    };
    if (image.width <= image.height) return {edge, scaled(image.height, image.width)};
    return {scaled(image.width, image.height), edge};
}

/// Whether Pillow resizes the columns before the rows, which changes the rounding in between: since version 13, where
/// the height shrinks by more than twice as many pixels as the width (pull request 9549; found by experiment).
bool columns_first(const Image& image, const Size& size) {
    const std::int64_t shrunk = std::max<std::int64_t>(image.width - size.width, 0);
    return image.height > size.height && image.height - size.height > 2 * shrunk;
}

/// Half of a margin, with halves rounded to the even number, as Python's round() does.
int half(std::int64_t margin) {
    const std::int64_t down = margin / 2;
    return static_cast<int>(margin % 2 == 1 && down % 2 == 1 ? down + 1 : down);
}

}  // namespace

Preprocessor::Preprocessor(const Frame& frame, const std::string& interpolation)
    : frame_(frame), filter_(find_filter(interpolation)) {
    prepare(frame.columns, frame.rows);
}

/// Makes room for a resized image.
void Preprocessor::prepare(int columns, int rows) {
    columns_ = columns;
    rows_ = rows;
    row_.resize(3 * static_cast<std::size_t>(columns));
    sums_.resize(row_.size() * static_cast<std::size_t>(rows));
    made_.resize(sums_.size());
}

Preprocessor::Window Preprocessor::window(std::int64_t resized, int edge) const {
    const bool corner = frame_.mode == ResizeMode::corner;
    if (resized < edge) return {0, static_cast<int>(resized), corner ? 0 : static_cast<int>((edge - resized) / 2)};
    if (corner) return {0, edge, 0};
    return {frame_.round_down ? static_cast<int>((resized - edge) / 2) : half(resized - edge), edge, 0};
}

const std::vector<std::uint8_t>& Preprocessor::run(const Image& image) {
    check(image);
    const Size size = resized(image, frame_);
    if (size.width > kMaxEdge || size.height > kMaxEdge || size.width * size.height > kMaxPixels ||
        std::min(size.width, size.height) < 1) {
        throw ImageError(pixels(image) + " pixels are too elongated to resize");
    }
    const Window across = window(size.width, frame_.columns);
    const Window down = window(size.height, frame_.rows);
    fit_ = {size.width, size.height, across.place - across.first, down.place - down.first};
    prepare(across.count, down.count);
    const bool few_bits = frame_.rows_first;
    across_.compute(filter_, {image.width, static_cast<int>(size.width), across.first, across.count, few_bits});
    down_.compute(filter_, {image.height, static_cast<int>(size.height), down.first, down.count, few_bits});
    const std::size_t stride = image.stride != 0 ? image.stride : 3 * static_cast<std::size_t>(image.width);
    if (!frame_.rows_first && columns_first(image, size)) {
        run_columns_first(image, stride);
    } else {
        run_rows_first(image, stride);
    }
    if (columns_ == frame_.columns && rows_ == frame_.rows) return made_;
    place(across.place, down.place);
    return padded_;
}

/// Lays the resized image into one of the input's size.
void Preprocessor::place(int left, int top) {
    const std::size_t stride = 3 * static_cast<std::size_t>(frame_.columns);
    padded_.resize(stride * static_cast<std::size_t>(frame_.rows));
    for (std::size_t i = 0; i < padded_.size(); ++i) padded_[i] = frame_.pad_color[i % 3];
    for (int y = 0; y < rows_; ++y) {
        const auto row = static_cast<std::ptrdiff_t>(row_.size()) * y;
        const std::size_t start = stride * static_cast<std::size_t>(top + y) + 3 * static_cast<std::size_t>(left);
        std::copy(made_.begin() + row, made_.begin() + row + static_cast<std::ptrdiff_t>(row_.size()),
                  padded_.begin() + static_cast<std::ptrdiff_t>(start));
    }
}

/// Row by row, each added to the few output rows that it is a part of: no copy of the image is needed.
void Preprocessor::run_rows_first(const Image& image, std::size_t stride) {
    std::fill(sums_.begin(), sums_.end(), down_.half());
    int first = 0;
    for (int y = down_.begin(0); y < down_.end(rows_ - 1); ++y) {
        resample_row(image.rgb + stride * static_cast<std::size_t>(y), row_.data());
        add_row(y, first);
        while (first < rows_ && down_.end(first) <= y + 1) finish_row(first++);
    }
}

void Preprocessor::run_columns_first(const Image& image, std::size_t stride) {
    const std::size_t width = 3 * static_cast<std::size_t>(image.width);
    const std::size_t begin = 3 * static_cast<std::size_t>(across_.begin(0));
    const std::size_t end = 3 * static_cast<std::size_t>(across_.end(columns_ - 1));
    wide_sums_.resize(width);
    wide_row_.resize(width);
    for (int output = 0; output < rows_; ++output) {
        std::fill(wide_sums_.begin(), wide_sums_.end(), down_.half());
        const std::int32_t* weights = down_.weights(output);
        for (int y = down_.begin(output); y < down_.end(output); ++y) {
            const std::uint8_t* source = image.rgb + stride * static_cast<std::size_t>(y);
            const std::int32_t weight = weights[y - down_.begin(output)];
            for (std::size_t i = begin; i < end; ++i) wide_sums_[i] += weight * source[i];
        }
        std::transform(wide_sums_.begin(), wide_sums_.end(), wide_row_.begin(),
                       [this](std::int32_t sum) { return down_.sample(sum); });
        resample_row(wide_row_.data(), made_.data() + row_.size() * static_cast<std::size_t>(output));
    }
}

void Preprocessor::resample_row(const std::uint8_t* source, std::uint8_t* made) const {
    const std::int32_t half = across_.half();
    for (int x = 0; x < columns_; ++x) {
        const std::int32_t* weights = across_.weights(x);
        const std::uint8_t* pixel = source + 3 * static_cast<std::size_t>(across_.begin(x));
        const int count = across_.end(x) - across_.begin(x);
        std::int32_t red = half;
        std::int32_t green = half;
        std::int32_t blue = half;
        for (int i = 0; i < count; ++i, pixel += 3) {
            red += weights[i] * pixel[0];
            green += weights[i] * pixel[1];
            blue += weights[i] * pixel[2];
        }
        made[0] = across_.sample(red), made[1] = across_.sample(green), made[2] = across_.sample(blue);
        made += 3;
    }
}

/// Adds source row `y` to each output row from `first` on that it is a part of.
void Preprocessor::add_row(int y, int first) {
    for (int output = first; output < rows_ && down_.begin(output) <= y; ++output) {
        const std::int32_t weight = down_.weights(output)[y - down_.begin(output)];
        std::int32_t* sums = sums_.data() + row_.size() * static_cast<std::size_t>(output);
        for (std::size_t i = 0; i < row_.size(); ++i) sums[i] += weight * row_[i];
    }
}

void Preprocessor::finish_row(int output) {
    const auto start = static_cast<std::ptrdiff_t>(row_.size()) * output;
    std::transform(sums_.begin() + start, sums_.begin() + start + static_cast<std::ptrdiff_t>(row_.size()),
                   made_.begin() + start, [this](std::int32_t sum) { return down_.sample(sum); });
}

}  // namespace convnext_edge::detail
