// Windows bitmaps without compression: a palette of 8 bits, or 24 or 32 bits a pixel.
#include <cstdlib>

#include "formats.hpp"

namespace {

using convnext_edge::ImageError;

constexpr std::size_t kFileHeader = 14;  // bytes

struct Layout {
    std::size_t pixels = 0;   // where the first row of the file begins
    std::size_t stride = 0;   // bytes from one row to the next: a multiple of 4
    std::size_t palette = 0;  // where its colours begin, of 4 bytes each: blue, green, red, and one that says nothing
    std::size_t colours = 0;
    std::size_t bytes = 0;  // of a pixel
    bool top_down = false;
};

std::uint32_t number(const Bytes& file, std::size_t at, int count) { return number_at(file, at, count, false); }

Layout read_layout(const Bytes& file, Picture& picture) {
    const std::uint32_t header = number(file, kFileHeader, 4);
    const std::uint32_t bits = number(file, 28, 2);
    const std::uint32_t compression = number(file, 30, 4);
    const bool masked = compression == 3 && bits == 32 && number(file, 54, 4) == 0xff0000 &&
                        number(file, 58, 4) == 0xff00 && number(file, 62, 4) == 0xff;
    if (header < 40 || (compression != 0 && !masked) || (bits != 8 && bits != 24 && bits != 32)) {
        throw ImageError("it is a BMP of " + std::to_string(bits) + " bits a pixel with compression " +
                         std::to_string(compression) + "\nSave it without compression, in 24 bits.");
    }
    const auto height = static_cast<std::int32_t>(number(file, 22, 4));
    allocate(picture, static_cast<std::int32_t>(number(file, 18, 4)), std::llabs(height));
    Layout layout;
    layout.pixels = number(file, 10, 4);
    layout.bytes = bits / 8;
    layout.stride = (static_cast<std::size_t>(picture.width) * layout.bytes + 3) / 4 * 4;
    layout.palette = kFileHeader + header;
    layout.colours = number(file, 46, 4) == 0 ? 256 : number(file, 46, 4);
    layout.top_down = height < 0;
    return layout;
}

}  // namespace

Picture decode_bmp(const Bytes& file) {
    Picture picture;
    const Layout layout = read_layout(file, picture);
    const auto rows = static_cast<std::size_t>(picture.height);
    const auto columns = static_cast<std::size_t>(picture.width);
    const bool indexed = layout.bytes == 1;
    const std::size_t palette_end = layout.palette + (indexed ? 4 * layout.colours : 0);
    if (layout.pixels > file.size() || (file.size() - layout.pixels) / layout.stride < rows || palette_end > file.size()) {
        throw ImageError("it ends early");
    }
    for (std::size_t row = 0; row < rows; ++row) {
        const std::size_t start = layout.pixels + layout.stride * (layout.top_down ? row : rows - 1 - row);
        for (std::size_t column = 0; column < columns; ++column) {
            std::size_t at = start + column * layout.bytes;
            if (indexed) {
                if (file[at] >= layout.colours) throw ImageError("it has a colour that is not in its palette");
                at = layout.palette + 4 * std::size_t{file[at]};
            }
            for (std::size_t channel = 0; channel < 3; ++channel) {
                picture.rgb[3 * (row * columns + column) + channel] = file[at + 2 - channel];
            }
        }
    }
    return picture;
}
