#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/// A message between this program and the one that started it: one byte that says what it is, the length of the
/// rest in 4 bytes, the lowest first, and the rest.
struct Frame {
    char kind = 0;
    std::vector<std::uint8_t> bytes;
};

/// The two ends of a conversation over standard input and output. What a library prints goes to standard error
/// from now on, so that it is not taken for a frame.
class Pipe {
   public:
    Pipe();

    /// The next frame. False where standard input ended, or where nothing came for `idle_seconds`.
    /// Throws convnext_edge::UsageError for a frame of more than `most` bytes, before it is read, and for one that
    /// ends early.
    bool read(Frame& frame, std::size_t most, int idle_seconds);

    void write(char kind, const std::string& text);

    /// Begins a frame of `length` bytes, which follow by `write_bytes`.
    void begin(char kind, std::size_t length);
    void write_bytes(const void* bytes, std::size_t length);

   private:
    std::size_t read_bytes(void* bytes, std::size_t length, int idle_seconds);
    int output_ = 1;  // a descriptor
};
