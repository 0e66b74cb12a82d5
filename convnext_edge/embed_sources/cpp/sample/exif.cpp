// The orientation that a camera writes into a photograph, and what it takes to undo it.
#include <algorithm>
#include <string>

#include "formats.hpp"

namespace {

constexpr std::uint32_t kOrientation = 0x0112;  // the tag of TIFF
const std::string kExif("Exif\0\0", 6);

/// Of a TIFF header with its first directory, which begins at `start` and ends before `end`.
int orientation_at(const Bytes& file, std::size_t start, std::size_t end) {
    const bool big = number_at(file, start, 2, true) == 0x4d4d;  // "MM"
    const std::size_t directory = start + number_at(file, start + 4, 4, big);
    const std::size_t entries = number_at(file, directory, 2, big);
    for (std::size_t i = 0; i < entries; ++i) {
        const std::size_t entry = directory + 2 + 12 * i;
        if (entry + 12 > end) break;
        if (number_at(file, entry, 2, big) != kOrientation) continue;
        const auto value = static_cast<int>(number_at(file, entry + 8, 2, big));
        return value >= 1 && value <= 8 ? value : 1;
    }
    return 1;
}

bool has(const Bytes& file, std::size_t at, const std::string& text) {
    return at <= file.size() && file.size() - at >= text.size() &&
           std::equal(text.begin(), text.end(), file.begin() + static_cast<std::ptrdiff_t>(at),
                      [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; });
}

int of_jpeg(const Bytes& file) {
    std::size_t at = 2;
    while (at + 4 <= file.size() && file[at] == 0xff && file[at + 1] != 0xda) {  // up to the pixels
        const std::size_t end = std::min(at + 2 + number_at(file, at + 2, 2, true), file.size());
        if (file[at + 1] == 0xe1 && has(file, at + 4, kExif)) return orientation_at(file, at + 4 + kExif.size(), end);
        at = std::max(end, at + 2);
    }
    return 1;
}

int of_png(const Bytes& file) {
    for (std::size_t at = 8; at + 8 <= file.size();) {
        const std::size_t end = at + 8 + number_at(file, at, 4, true);
        if (has(file, at + 4, "eXIf")) return orientation_at(file, at + 8, std::min(end, file.size()));
        at = end + 4;  // the check sum
    }
    return 1;
}

}  // namespace

int exif_orientation(const Bytes& file) { return has(file, 0, "\xff\xd8") ? of_jpeg(file) : of_png(file); }

Picture turned(const Picture& picture, int orientation) {
    if (orientation == 1) return picture;
    const bool swaps = orientation >= 5;
    const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    Picture made;
    allocate(made, swaps ? picture.height : picture.width, swaps ? picture.width : picture.height);
    for (int row = 0; row < made.height; ++row) {
        for (int column = 0; column < made.width; ++column) {
            const int across = swaps ? row : column;  // in the picture as it is stored
            const int down = swaps ? column : row;
            const auto x = static_cast<std::size_t>(from_right ? picture.width - 1 - across : across);
            const auto y = static_cast<std::size_t>(from_below ? picture.height - 1 - down : down);
            const auto to = 3 * (static_cast<std::size_t>(row) * static_cast<std::size_t>(made.width) +
                                 static_cast<std::size_t>(column));
            std::copy_n(picture.rgb.begin() + static_cast<std::ptrdiff_t>(3 * (y * static_cast<std::size_t>(picture.width) + x)),
                        3, made.rgb.begin() + static_cast<std::ptrdiff_t>(to));
        }
    }
    return made;
}
