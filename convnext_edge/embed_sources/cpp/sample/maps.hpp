#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "convnext_edge.hpp"

/// What a segmenter answers to a picture.
struct Segments {
    convnext_edge::LabelMap map;
    std::string label_map;  // file with the class of each pixel; empty where none was written
    std::string overlay;    // likewise, the picture below the colours of its classes
};

/// Writes label maps and overlays of pictures, as `convnext-edge predict --maps` has them: of the size that the model
/// sees, in the colours of Pascal VOC.
class MapWriter {
   public:
    /// Makes the folder where it is missing. Throws convnext_edge::UsageError for a model that has no label maps, or
    /// more classes than a byte tells apart.
    MapWriter(const convnext_edge::Model& model, std::filesystem::path folder);

    /// Answers an image, and writes its two files, called after the picture. Throws convnext_edge::UsageError where a
    /// file is in the way.
    Segments write(const convnext_edge::Image& image, const std::string& picture);

   private:
    std::string name_of(const std::string& picture);

    convnext_edge::Workspace workspace_;
    std::filesystem::path folder_;
    std::set<std::string> used_;  // names of this run
};
