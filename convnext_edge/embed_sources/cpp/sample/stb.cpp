// JPEG and PNG by stb_image, where CMake found no libjpeg-turbo or no libpng. Pixels of PNG are the same; those of JPEG
// differ from libjpeg-turbo's by up to 3 of 255, as the inverse transform and the chroma are rounded otherwise.
#include <cstdlib>
#include <memory>
#include <string>

#include "formats.hpp"

#ifdef CONVNEXT_EDGE_STB_JPEG
#define STBI_ONLY_JPEG
#endif
#ifdef CONVNEXT_EDGE_STB_PNG
#define STBI_ONLY_PNG
#endif
#define STBI_NO_STDIO
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <stb_image.h>

namespace {

using convnext_edge::ImageError;

ImageError failure() { return ImageError(std::string("it cannot be decoded: ") + stbi_failure_reason()); }

Picture decode(const Bytes& file) {
    int width = 0;
    int height = 0;
    int channels = 0;
    const int bytes = static_cast<int>(file.size());  // a file has 2^30 at most
    if (stbi_info_from_memory(file.data(), bytes, &width, &height, &channels) == 0) throw failure();
    Picture picture;
    allocate(picture, width, height);  // refuses what is too large before it is decoded
    const std::unique_ptr<stbi_uc, decltype(&std::free)> pixels(
        stbi_load_from_memory(file.data(), bytes, &width, &height, &channels, 3), std::free);
    if (!pixels) throw failure();
    picture.rgb.assign(pixels.get(), pixels.get() + picture.rgb.size());
    return picture;
}

#ifdef CONVNEXT_EDGE_STB_JPEG
/// Where a marker comes last; -1 where it never does. Compressed data has none but RST and those of the next part.
std::ptrdiff_t last(const Bytes& file, std::uint8_t marker) {
    for (std::size_t at = file.size(); at-- > 1;) {
        if (file[at] == marker && file[at - 1] == 0xff) return static_cast<std::ptrdiff_t>(at);
    }
    return -1;
}
#endif

}  // namespace

#ifdef CONVNEXT_EDGE_STB_JPEG
Picture decode_jpeg(const Bytes& file) {
    if (last(file, 0xd9) < last(file, 0xda)) throw ImageError("it cannot be decoded: it ends early");
    return decode(file);
}
#endif

#ifdef CONVNEXT_EDGE_STB_PNG
Picture decode_png(const Bytes& file) { return decode(file); }
#endif
