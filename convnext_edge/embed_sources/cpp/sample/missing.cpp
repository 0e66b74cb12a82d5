// In place of the readers that CMake found nothing for.
#include <string>

#include "formats.hpp"

namespace {

[[maybe_unused]] convnext_edge::ImageError unread(const std::string& kind, const std::string& library, const std::string& package) {
    return convnext_edge::ImageError(
        "it is " + kind + ", for which this program has no reader\nInstall " + library + " (Debian: " + package +
        ") and build it again in a new folder, or convert the picture to PPM or BMP.");
}

}  // namespace

#ifndef CONVNEXT_EDGE_JPEG
Picture decode_jpeg(const Bytes&) { throw unread("JPEG", "libjpeg-turbo", "libjpeg62-turbo-dev"); }
#endif

#ifndef CONVNEXT_EDGE_PNG
Picture decode_png(const Bytes&) { throw unread("PNG", "libpng", "libpng-dev"); }
#endif
