#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "picture.hpp"

/// A camera of Linux (V4L2), which is asked for 640x480 pixels and gives what it has. Frames of RGB24, YUYV or, where
/// this build reads JPEG, MJPEG. Throws convnext_edge::ImageError.
class Camera {
   public:
    explicit Camera(std::string device);
    ~Camera();
    Camera(const Camera&) = delete;
    Camera& operator=(const Camera&) = delete;

    /// The newest frame, once there is one; those that came while nobody asked are passed over.
    Picture next();

   private:
    struct Buffer {
        void* start;
        std::size_t bytes;
    };

    convnext_edge::ImageError failure(const char* what) const;
    void choose_format();
    void map_buffers();
    void wait() const;
    Picture decoded(const std::uint8_t* bytes, std::size_t count) const;
    void close() noexcept;

    std::string device_;
    int file_ = -1;
    std::uint32_t format_ = 0;  // a code of four characters
    int width_ = 0;
    int height_ = 0;
    std::size_t stride_ = 0;  // bytes
    bool full_range_ = false;
    std::vector<Buffer> buffers_;
};
