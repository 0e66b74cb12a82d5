#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "convnext_edge.hpp"
#include "resample.hpp"

namespace convnext_edge::detail {

/// What is resized: the shorter edge, each edge, or the longer edge; in the last, the image lies in the upper left corner.
enum class ResizeMode { center, squash, pad, corner };

/// What an image is resized, padded and cropped to.
struct Frame {
    int rows = 0;      // pixels
    int columns = 0;   // pixels
    double crop = 1;   // part of the resized image's edge that is kept
    ResizeMode mode = ResizeMode::center;
    int resize = 0;              // edge before the crop in pixels; 0: rows and columns through `crop`
    bool round_down = false;     // a margin of half a pixel; otherwise to the even number
    bool rows_first = false;     // and weights of 16 bits, as PyTorch resizes 8-bit tensors
    std::array<std::uint8_t, 3> pad_color{};
};

/// Where an image lies in the input: its size before the crop, and the place of its upper left corner.
struct Fit {
    std::int64_t width = 0;   // pixels
    std::int64_t height = 0;  // pixels
    int left = 0;
    int top = 0;
};

/// Resize, padding and centre crop, as convnext_edge/images/transform.py does it.
class Preprocessor {
   public:
    /// Throws ArtifactError for an unknown interpolation.
    Preprocessor(const Frame& frame, const std::string& interpolation);

    /// Returns (rows, columns, 3) bytes, valid until the next call. Allocates only where an image is
    /// larger than those before. Throws ImageError.
    const std::vector<std::uint8_t>& run(const Image& image);

    /// Of the last image.
    const Fit& fit() const { return fit_; }

   private:
    /// Where the resized image and the input overlap, along one axis.
    struct Window {
        int first;  // of the resized pixels
        int count;
        int place;  // in the input
    };
    Window window(std::int64_t resized, int edge) const;
    void prepare(int columns, int rows);
    void place(int left, int top);
    void run_rows_first(const Image& image, std::size_t stride);
    void run_columns_first(const Image& image, std::size_t stride);
    void resample_row(const std::uint8_t* source, std::uint8_t* made) const;
    void add_row(int y, int first);
    void finish_row(int output);

    Frame frame_;
    Filter filter_;
    Fit fit_;
    int columns_ = 0;  // of what is resized: those of the input, or fewer where it is padded
    int rows_ = 0;
    Taps across_;
    Taps down_;
    std::vector<std::uint8_t> row_;     // (columns, 3): a source row, resampled
    std::vector<std::int32_t> sums_;    // (rows, columns, 3): output rows in the making
    std::vector<std::int32_t> wide_sums_;  // (width of the image, 3): an output row before its columns are resized
    std::vector<std::uint8_t> wide_row_;    // the same, as samples
    std::vector<std::uint8_t> made_;    // (rows, columns, 3)
    std::vector<std::uint8_t> padded_;  // (rows, columns, 3) of the input, where `made_` is smaller
};

}  // namespace convnext_edge::detail
