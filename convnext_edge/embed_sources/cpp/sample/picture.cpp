#include "picture.hpp"

#include <charconv>
#include <fstream>
#include <istream>
#include <limits>
#include <system_error>

namespace {

using convnext_edge::ImageError;

constexpr int kMaxEdge = 1 << 20;  // pixels

/// The next number of a PPM's header, past white space and comments; -1 where there is none.
int header_number(std::istream& file) {
    while ((file >> std::ws) && file.peek() == '#') file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    int value = -1;
    return file >> value ? value : -1;
}

void read_header(std::istream& file, const std::string& path, Picture& picture) {
    char magic[2] = {};
    file.read(magic, 2);
    if (magic[0] != 'P' || magic[1] != '6') {
        throw ImageError(path + " is no binary PPM\nConvert it, or give --size WxH for raw RGB bytes.");
    }
    picture.width = header_number(file);
    picture.height = header_number(file);
    const int largest = header_number(file);
    file.get();  // the one white space before the pixels
    if (largest != 255) {
        throw ImageError(path + " has samples up to " + std::to_string(largest) + "\nConvert it to 8 bits: up to 255.");
    }
}

/// `size` as two numbers and nothing else, with an x between them.
void read_size(const std::string& size, Picture& picture) {
    const char* const end = size.data() + size.size();
    const auto width = std::from_chars(size.data(), end, picture.width);
    const bool crossed = width.ec == std::errc() && width.ptr != end && *width.ptr == 'x';
    const auto height = std::from_chars(crossed ? width.ptr + 1 : end, end, picture.height);
    if (height.ec != std::errc() || height.ptr != end) {
        throw convnext_edge::UsageError("--size '" + size + "' is no size\nGive pixels as 640x480.");
    }
}

}  // namespace

Picture read_picture(const std::string& path, const std::string& size) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw ImageError(path + " cannot be read\nName a picture.");
    Picture picture;
    if (size.empty()) {
        read_header(file, path, picture);
    } else {
        read_size(size, picture);
    }
    const bool possible = picture.width >= 1 && picture.width <= kMaxEdge && picture.height >= 1 &&
                          picture.height <= kMaxEdge;
    const std::string pixels = std::to_string(picture.width) + "x" + std::to_string(picture.height);
    if (!possible) throw ImageError(path + " has " + pixels + " pixels\nGive a picture of a usual size.");
    const std::size_t bytes = 3 * static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.height);
    const auto start = file.tellg();
    const auto left = file.seekg(0, std::ios::end).tellg() - start;
    if (left < 0 || static_cast<std::size_t>(left) < bytes) {
        throw ImageError(path + " ends early: " + pixels + " pixels need " + std::to_string(bytes) + " bytes");
    }
    picture.rgb.resize(bytes);
    file.seekg(start).read(reinterpret_cast<char*>(picture.rgb.data()), static_cast<std::streamsize>(bytes));
    return picture;
}
