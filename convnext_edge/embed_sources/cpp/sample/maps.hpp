#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "convnext_edge.hpp"
#include "objects.hpp"

/// What a segmenter answers to a picture.
struct Segments {
    convnext_edge::LabelMap map;
    std::string label_map;  // file with the class of each pixel; empty where none was written
    std::string overlay;    // likewise, the picture below the colours of its classes
};

/// Writes label maps and overlays of pictures, as `convnext-edge predict --maps` has them: of the size that the model
/// sees, in the colours of Pascal VOC. Names of objects are not drawn.
class MapWriter {
   public:
    /// Makes the folder where it is missing. Throws convnext_edge::UsageError for a model that has nothing to draw, or
    /// more classes of pixels than a byte tells apart.
    MapWriter(const convnext_edge::Model& model, std::filesystem::path folder);

    /// Answers an image, and writes its two files, called after the picture. Throws convnext_edge::UsageError where a
    /// file is in the way.
    Segments write(const convnext_edge::Image& image, const std::string& picture);

    /// The same of a detector, and its one file.
    Objects write_objects(const convnext_edge::Image& image, const std::string& picture, float threshold);

   private:
    std::string name_of(const std::string& picture);

    convnext_edge::Workspace workspace_;
    int width_;   // of what the model sees, in pixels
    int height_;
    std::filesystem::path folder_;
    std::set<std::string> used_;  // names of this run
};
