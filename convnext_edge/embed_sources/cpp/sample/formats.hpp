// What picture.cpp reads files with. All throw convnext_edge::ImageError, whose text says what is wrong with "it".
#pragma once

#include <cstdint>
#include <vector>

#include "picture.hpp"

using Bytes = std::vector<std::uint8_t>;

/// Whole number of `count` bytes at `at`, or 0 where the file ends before.
std::uint32_t number_at(const Bytes& file, std::size_t at, int count, bool big_endian);

/// Gives the picture memory for its pixels. Throws for none, or more than the library takes.
void allocate(Picture& picture, std::int64_t width, std::int64_t height);

Picture decode_bmp(const Bytes& file);
Picture decode_jpeg(const Bytes& file);  // by libjpeg-turbo or stb_image, as CMake found
Picture decode_png(const Bytes& file);   // by libpng or stb_image

/// The EXIF orientation of a JPEG or PNG file, 1 (upright) to 8; 1 where it says none.
int exif_orientation(const Bytes& file);

/// Turned and mirrored, so that a picture of that orientation is upright.
Picture turned(const Picture& picture, int orientation);
