#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convnext_edge.hpp"

/// An image in memory.
struct Picture {
    int width = 0;   // pixels
    int height = 0;  // pixels
    std::vector<std::uint8_t> rgb;

    convnext_edge::Image image() const { return {rgb.data(), width, height, 0}; }
};

/// Reads a binary PPM (P6, 8 bits), an uncompressed BMP and, where this build has a reader, JPEG and PNG; or raw RGB
/// bytes where `size`, as "640x480", says how many. Alpha channels are dropped; of 16 bits, the upper 8 are taken.
/// upright: whether a photograph is turned as its EXIF orientation says. Throws convnext_edge::ImageError.
Picture read_picture(const std::string& path, const std::string& size, bool upright = false);

/// The picture files in a folder by their names' endings, sorted; for anything but a folder, `path` itself.
/// Throws convnext_edge::ImageError for a folder without any.
std::vector<std::string> picture_files(const std::string& path);
