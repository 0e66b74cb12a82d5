#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "convnext_edge.hpp"
#include "manifest.hpp"
#include "preprocess.hpp"

namespace convnext_edge::detail {

/// A picture, and where it lies in the input.
struct View {
    int width = 0;   // pixels of the picture
    int height = 0;  // pixels of the picture
    Fit fit;
};

/// The view of what the model sees, as if that were the picture.
View as_it_is(const Frame& frame);

/// Objects in pictures from the outputs of a detector, as convnext_edge/images/objects.py has them. Allocates nothing once
/// it is made.
class Objects {
   public:
    /// Of a model that is no detector, no memory is taken.
    Objects(const std::vector<std::string>& labels, const Manifest& manifest);

    /// outputs: boxes, labels, scores and masks, all finite. Throws TargetError for a label that is none, and for a box
    /// outside of the input.
    const std::vector<Object>& find(const std::vector<Output>& outputs, float threshold, const View& view);

   private:
    const std::string& name_of(float label) const;

    const std::vector<std::string>& labels_;
    std::size_t first_label_;
    std::string engine_;
    Frame frame_;
    std::vector<Object> found_;
};

}  // namespace convnext_edge::detail
