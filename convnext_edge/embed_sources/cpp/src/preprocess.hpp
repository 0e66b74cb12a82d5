#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convnext_edge.hpp"
#include "resample.hpp"

namespace convnext_edge::detail {

/// What an image is resized and cropped to.
struct Frame {
    int rows;     // pixels
    int columns;  // pixels
    double crop;  // part of the resized image's shorter edge that is kept
    bool squash;  // whether the whole image is squashed to rows and columns instead
};

/// Resize and centre crop, as convnext_edge/images/transform.py does it.
class Preprocessor {
   public:
    /// Throws ArtifactError for an unknown interpolation.
    Preprocessor(const Frame& frame, const std::string& interpolation);

    /// Returns (rows, columns, 3) bytes, valid until the next call. Allocates only where an image is
    /// larger than those before. Throws ImageError.
    const std::vector<std::uint8_t>& run(const Image& image);

   private:
    void run_rows_first(const Image& image, std::size_t stride);
    void run_columns_first(const Image& image, std::size_t stride);
    void resample_row(const std::uint8_t* source, std::uint8_t* made) const;
    void add_row(int y, int first);
    void finish_row(int output);

    Frame frame_;
    Filter filter_;
    Taps across_;
    Taps down_;
    std::vector<std::uint8_t> row_;     // (columns, 3): a source row, resampled
    std::vector<std::int32_t> sums_;    // (rows, columns, 3): output rows in the making
    std::vector<std::int32_t> wide_sums_;  // (width of the image, 3): an output row before its columns are resized
    std::vector<std::uint8_t> wide_row_;    // the same, as samples
    std::vector<std::uint8_t> made_;  // (rows, columns, 3)
};

}  // namespace convnext_edge::detail
