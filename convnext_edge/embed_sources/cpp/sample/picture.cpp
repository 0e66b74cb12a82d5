#include "picture.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <istream>
#include <limits>
#include <sstream>
#include <system_error>

#include "formats.hpp"

namespace {

using convnext_edge::ImageError;

constexpr std::int64_t kMaxPixels = (std::int64_t{1} << 30) / 12;  // of the library
constexpr std::streamoff kMaxBytes = std::streamoff{1} << 30;      // of a file

bool begins(const Bytes& file, const std::string& magic) {
    return file.size() >= magic.size() &&
           std::equal(magic.begin(), magic.end(), file.begin(),
                      [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; });
}

/// The next number of a PPM's header, past white space and comments; -1 where there is none.
int header_number(std::istream& file) {
    while ((file >> std::ws) && file.peek() == '#') file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    int value = -1;
    return file >> value ? value : -1;
}

/// Raw RGB of the picture's size, from `start` on.
void take_pixels(const Bytes& file, std::size_t start, Picture& picture) {
    if (file.size() - std::min(start, file.size()) < picture.rgb.size()) {
        throw ImageError("it ends early: " + std::to_string(picture.width) + "x" + std::to_string(picture.height) +
                         " pixels need " + std::to_string(picture.rgb.size()) + " bytes");
    }
    std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(start), picture.rgb.size(), picture.rgb.begin());
}

Picture decode_ppm(const Bytes& file) {
    constexpr std::size_t kHeader = 4096;  // bytes, with its comments
    const auto end = file.begin() + static_cast<std::ptrdiff_t>(std::min(file.size(), kHeader));
    std::istringstream text(std::string(file.begin(), end));
    text.ignore(2);
    const int width = header_number(text);
    const int height = header_number(text);
    const int largest = header_number(text);
    text.get();  // the one white space before the pixels
    if (largest != 255) {
        throw ImageError("it has samples up to " + std::to_string(largest) + "\nConvert it to 8 bits: up to 255.");
    }
    Picture picture;
    allocate(picture, width, height);
    take_pixels(file, text ? static_cast<std::size_t>(text.tellg()) : file.size(), picture);
    return picture;
}

/// `size` as two numbers and nothing else, with an x between them.
void read_size(const std::string& size, int& across, int& down) {
    const char* const end = size.data() + size.size();
    const auto width = std::from_chars(size.data(), end, across);
    const bool crossed = width.ec == std::errc() && width.ptr != end && *width.ptr == 'x';
    const auto height = std::from_chars(crossed ? width.ptr + 1 : end, end, down);
    if (height.ec != std::errc() || height.ptr != end) {
        throw convnext_edge::UsageError("--size '" + size + "' is no size\nGive pixels as 640x480.");
    }
}

Bytes read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    const std::streamoff bytes = file ? std::streamoff(file.tellg()) : -1;
    if (bytes < 0 || bytes > kMaxBytes) throw ImageError("it cannot be read\nName a picture.");
    Bytes found(static_cast<std::size_t>(bytes));
    file.seekg(0).read(reinterpret_cast<char*>(found.data()), bytes);
    if (!file) throw ImageError("it cannot be read\nName a picture.");
    return found;
}

Picture decode(const Bytes& file, bool upright) {
    if (begins(file, "P6")) return decode_ppm(file);
    if (begins(file, "BM")) return decode_bmp(file);
    const bool jpeg = begins(file, "\xff\xd8\xff");
    if (!jpeg && !begins(file, "\x89PNG\r\n\x1a\n")) {
        throw ImageError("it is no JPEG, PNG, BMP or binary PPM\nConvert it, or give --size WxH for raw RGB bytes.");
    }
    const Picture picture = jpeg ? decode_jpeg(file) : decode_png(file);
    return upright ? turned(picture, exif_orientation(file)) : picture;
}

}  // namespace

std::uint32_t number_at(const Bytes& file, std::size_t at, int count, bool big_endian) {
    const auto bytes = static_cast<std::size_t>(count);
    if (at > file.size() || file.size() - at < bytes) return 0;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | file[at + (big_endian ? i : bytes - 1 - i)];
    return value;
}

void allocate(Picture& picture, std::int64_t width, std::int64_t height) {
    const bool possible = width >= 1 && height >= 1 && width <= kMaxPixels && height <= kMaxPixels / width;
    if (!possible) {
        throw ImageError("it has " + std::to_string(width) + "x" + std::to_string(height) +
                         " pixels\nGive a picture of a usual size.");
    }
    picture.width = static_cast<int>(width);
    picture.height = static_cast<int>(height);
    picture.rgb.resize(3 * static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
}

Picture read_picture(const std::string& path, const std::string& size, bool upright) {
    try {
        if (size.empty()) return decode(read_file(path), upright);
        int width = 0;
        int height = 0;
        read_size(size, width, height);
        Picture picture;
        allocate(picture, width, height);
        take_pixels(read_file(path), 0, picture);
        return picture;
    } catch (const ImageError& error) {
        throw ImageError(path + ": " + error.what());
    }
}

std::vector<std::string> picture_files(const std::string& path) {
    std::error_code unreadable;
    if (!std::filesystem::is_directory(path, unreadable)) return {path};
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(path, unreadable)) {
        std::string ending = entry.path().extension().string();
        std::transform(ending.begin(), ending.end(), ending.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        for (const char* known : {".jpg", ".jpeg", ".png", ".bmp", ".ppm"}) {
            if (ending == known && entry.is_regular_file(unreadable)) found.push_back(entry.path().string());
        }
    }
    if (found.empty()) {
        throw ImageError(path + " has no pictures\nName a folder with files of .jpg, .jpeg, .png, .bmp or .ppm.");
    }
    std::sort(found.begin(), found.end());
    return found;
}
