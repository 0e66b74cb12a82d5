#pragma once

#include <vector>

#include "convnext_edge.hpp"
#include "preprocess.hpp"

namespace convnext_edge::detail {

/// Finds the class of each pixel from the logits of a segmenter. Allocates nothing once it is made.
class PixelClasses {
   public:
    /// wanted: whether the model is a segmenter; of others, no memory is taken.
    PixelClasses(const Frame& frame, bool wanted);

    /// logits: (classes, rows, columns) of the frame, all finite.
    const LabelMap& find(const std::vector<float>& logits);

   private:
    LabelMap map_;
    std::vector<float> largest_;  // (rows, columns)
};

}  // namespace convnext_edge::detail
