#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convnext_edge.hpp"
#include "png_writer.hpp"

/// What a detector answers to a picture.
struct Objects {
    std::vector<convnext_edge::Object> found;
    std::string overlay;  // file with the picture below its objects; empty where none was written
};

/// The pixels of an object as COCO's run lengths: the JSON object of `segmentation` in its results.
std::string segmentation_json(const convnext_edge::Object& object);

/// What a model sees, (height, width, 3), below the masks and boxes of the objects in it, the surest on top.
Drawing overlay(const std::vector<std::uint8_t>& pixels, const std::vector<convnext_edge::Object>& objects, int width,
                int height);
