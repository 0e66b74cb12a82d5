#include "camera.hpp"

#include <utility>

#include "formats.hpp"

#ifdef __linux__
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

namespace {

using convnext_edge::ImageError;

constexpr int kWait = 10'000;          // milliseconds until the first frame
constexpr std::uint32_t kBuffers = 4;  // one is filled while another is read

/// Of the formats that are read, the best first.
const std::vector<std::uint32_t> kFormats = {
    V4L2_PIX_FMT_RGB24,
    V4L2_PIX_FMT_YUYV,
#ifdef CONVNEXT_EDGE_JPEG
    V4L2_PIX_FMT_MJPEG,
#endif
};

int call(int file, unsigned long request, void* value) {
    int result = 0;
    do {
        result = ioctl(file, request, value);
    } while (result == -1 && errno == EINTR);
    return result;
}

std::uint8_t clipped(float value) { return static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0F, 255.0F))); }

/// BT.601, as cameras of USB give it.
void to_rgb(float y, float u, float v, bool full_range, std::uint8_t* rgb) {
    const float light = full_range ? y : (y - 16) * (255.0F / 219.0F);
    const float scale = full_range ? 1.0F : 255.0F / 224.0F;
    const float blue = (u - 128) * scale;
    const float red = (v - 128) * scale;
    rgb[0] = clipped(light + 1.402F * red);
    rgb[1] = clipped(light - 0.344136F * blue - 0.714136F * red);
    rgb[2] = clipped(light + 1.772F * blue);
}

}  // namespace

Camera::Camera(std::string device) : device_(std::move(device)), file_(open(device_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC)) {
    try {
        choose_format();
        map_buffers();
        int kind = V4L2_BUF_TYPE_VIDEO_CAPTURE;
        if (call(file_, VIDIOC_STREAMON, &kind) == -1) throw failure("does not start");
    } catch (...) {
        close();
        throw;
    }
}

ImageError Camera::failure(const char* what) const {
    return ImageError(device_ + " " + what + ": " + std::strerror(errno));
}

void Camera::choose_format() {
    v4l2_capability found{};
    if (file_ == -1 || call(file_, VIDIOC_QUERYCAP, &found) == -1) {
        throw ImageError(std::string(failure("is no camera").what()) + "\nName one of /dev/video*.");
    }
    for (const std::uint32_t wanted : kFormats) {
        v4l2_format format{};
        format.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
        format.fmt.pix.width = 640;
        format.fmt.pix.height = 480;
        format.fmt.pix.pixelformat = wanted;
        format.fmt.pix.field = V4L2_FIELD_ANY;
        if (call(file_, VIDIOC_S_FMT, &format) == -1 || format.fmt.pix.pixelformat != wanted) continue;
        format_ = wanted;
        Picture tried;
        allocate(tried, format.fmt.pix.width, format.fmt.pix.height);
        width_ = tried.width;
        height_ = tried.height;
        const std::size_t row = static_cast<std::size_t>(width_) * (wanted == V4L2_PIX_FMT_RGB24 ? 3 : 2);
        stride_ = std::max<std::size_t>(format.fmt.pix.bytesperline, row);
        if (wanted == V4L2_PIX_FMT_YUYV && width_ % 2 != 0) throw ImageError(device_ + " gives half a pair of pixels");
        full_range_ = format.fmt.pix.quantization == V4L2_QUANTIZATION_FULL_RANGE;
        return;
    }
    throw ImageError(device_ + " gives no RGB24, YUYV or MJPEG that this program reads");
}

void Camera::map_buffers() {
    v4l2_requestbuffers asked{};
    asked.count = kBuffers;
    asked.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    asked.memory = V4L2_MEMORY_MMAP;
    if (call(file_, VIDIOC_REQBUFS, &asked) == -1) throw failure("has no memory to map");
    for (std::uint32_t i = 0; i < asked.count; ++i) {
        v4l2_buffer buffer{};
        buffer.index = i;
        buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
        buffer.memory = V4L2_MEMORY_MMAP;
        const bool known = call(file_, VIDIOC_QUERYBUF, &buffer) != -1;
        void* const start = known ? mmap(nullptr, buffer.length, PROT_READ | PROT_WRITE, MAP_SHARED, file_,
                                         static_cast<off_t>(buffer.m.offset))
                                  : MAP_FAILED;
        if (start == MAP_FAILED) throw failure("cannot be mapped");
        buffers_.push_back({start, buffer.length});
        if (call(file_, VIDIOC_QBUF, &buffer) == -1) throw failure("takes no buffer");
    }
}

void Camera::wait() const {
    pollfd waited{file_, POLLIN, 0};
    const int ready = poll(&waited, 1, kWait);
    if (ready == 0) throw ImageError(device_ + " gives no picture within " + std::to_string(kWait / 1000) + " s");
    if (ready == -1) throw failure("fails");
}

Picture Camera::next() {
    v4l2_buffer newest{};
    int taken = 0;
    while (taken < static_cast<int>(buffers_.size())) {
        v4l2_buffer buffer{};
        buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
        buffer.memory = V4L2_MEMORY_MMAP;
        if (call(file_, VIDIOC_DQBUF, &buffer) == -1) {
            if (errno != EAGAIN) throw failure("fails");
            if (taken > 0) break;
            wait();
            continue;
        }
        if (taken > 0) call(file_, VIDIOC_QBUF, &newest);  // passed over
        newest = buffer;
        ++taken;
    }
    if (newest.index >= buffers_.size()) throw ImageError(device_ + " gives a buffer that it never had");
    const Buffer& buffer = buffers_[newest.index];
    const Picture picture = decoded(static_cast<const std::uint8_t*>(buffer.start),
                                    std::min<std::size_t>(newest.bytesused, buffer.bytes));
    if (call(file_, VIDIOC_QBUF, &newest) == -1) throw failure("fails");
    return picture;
}

Picture Camera::decoded(const std::uint8_t* bytes, std::size_t count) const {
    if (format_ == V4L2_PIX_FMT_MJPEG) return decode_jpeg(Bytes(bytes, bytes + count));
    const auto columns = static_cast<std::size_t>(width_);
    if (count < stride_ * static_cast<std::size_t>(height_)) throw ImageError(device_ + " gives a frame that ends early");
    Picture picture;
    allocate(picture, width_, height_);
    for (std::size_t row = 0; row < static_cast<std::size_t>(height_); ++row) {
        const std::uint8_t* const from = bytes + stride_ * row;
        std::uint8_t* const to = picture.rgb.data() + 3 * columns * row;
        if (format_ == V4L2_PIX_FMT_RGB24) {
            std::copy_n(from, 3 * columns, to);
            continue;
        }
        for (std::size_t column = 0; column < columns; ++column) {  // two pixels share their colour: Y U Y V
            const std::uint8_t* const pair = from + 4 * (column / 2);
            to_rgb(from[2 * column], pair[1], pair[3], full_range_, to + 3 * column);
        }
    }
    return picture;
}

void Camera::close() noexcept {
    for (const Buffer& buffer : buffers_) munmap(buffer.start, buffer.bytes);
    if (file_ != -1) ::close(file_);
}

Camera::~Camera() {
    int kind = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    call(file_, VIDIOC_STREAMOFF, &kind);
    close();
}

#else

Camera::Camera(std::string device) : device_(std::move(device)) {
    throw convnext_edge::ImageError("--camera is for Linux");
}
Camera::~Camera() = default;
Picture Camera::next() { return {}; }

#endif
