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

/// Reads a binary PPM (P6, 8 bits), or raw RGB bytes where `size`, as "640x480", says how many.
/// Throws convnext_edge::ImageError.
Picture read_picture(const std::string& path, const std::string& size);
