#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <vector>

/// An image that is written as PNG: RGB, or with a palette a byte for each pixel.
struct Drawing {
    int width = 0;   // pixels
    int height = 0;  // pixels
    std::vector<std::uint8_t> samples;  // (height, width, 3) or, with a palette, (height, width)
    std::vector<std::array<std::uint8_t, 3>> palette;
};

/// Writes a PNG file, which is complete or absent. It is not compressed, so that no library is needed.
/// Throws convnext_edge::UsageError where it cannot be written, or another program's file is in its place.
void write_png(const std::filesystem::path& place, const Drawing& drawing);
