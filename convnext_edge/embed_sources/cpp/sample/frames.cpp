#include "frames.hpp"

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "convnext_edge.hpp"

#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#else
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>
#endif

namespace {

constexpr std::size_t kHeader = 5;  // bytes

#ifdef _WIN32
constexpr int kInput = 0;
constexpr int kError = 2;
bool is_open(int) { return true; }
int duplicate(int file) { return _dup(file); }
void replace(int file, int by) { _dup2(by, file); }
bool wait(int) { return true; }
int read_some(void* bytes, std::size_t length) { return _read(kInput, bytes, static_cast<unsigned>(length)); }
int write_some(int file, const void* bytes, std::size_t length) {
    return _write(file, bytes, static_cast<unsigned>(length));
}
void prepare_pipes() {
    _setmode(kInput, _O_BINARY);
    _setmode(1, _O_BINARY);
}
#else
constexpr int kInput = STDIN_FILENO;
constexpr int kError = STDERR_FILENO;
int duplicate(int file) { return dup(file); }
void replace(int file, int by) { dup2(by, file); }
bool is_open(int file) { return fcntl(file, F_GETFD) >= 0; }

/// Whether there is something to read, or the end, within so many seconds.
bool wait(int seconds) {
    pollfd waited{kInput, POLLIN, 0};
    int found = -1;
    do found = poll(&waited, 1, seconds * 1000);
    while (found < 0 && errno == EINTR);
    return found != 0;
}
ssize_t read_some(void* bytes, std::size_t length) { return read(kInput, bytes, length); }
ssize_t write_some(int file, const void* bytes, std::size_t length) { return write(file, bytes, length); }
void prepare_pipes() { std::signal(SIGPIPE, SIG_IGN); }  // a write then fails, which is said
#endif

}  // namespace

Pipe::Pipe() {
    prepare_pipes();
    // else the copy of standard output would get its number, and be waited for
    if (!is_open(kInput)) throw std::runtime_error("there is no standard input to read");
    output_ = duplicate(1);
    if (output_ < 0) throw std::runtime_error("there is no standard output to answer on");
    replace(1, kError);
}

std::size_t Pipe::read_bytes(void* bytes, std::size_t length, int idle_seconds) {
    std::size_t done = 0;
    while (done < length && wait(idle_seconds)) {
        const auto found = read_some(static_cast<char*>(bytes) + done, length - done);
        if (found < 0 && errno == EINTR) continue;
        if (found <= 0) break;
        done += static_cast<std::size_t>(found);
    }
    return done;
}

bool Pipe::read(Frame& frame, std::size_t most, int idle_seconds) {
    std::uint8_t header[kHeader];
    const std::size_t found = read_bytes(header, kHeader, idle_seconds);
    if (found == 0) return false;
    if (found < kHeader) throw convnext_edge::UsageError("standard input ends in the header of a frame");
    std::size_t length = 0;
    for (std::size_t i = kHeader - 1; i > 0; --i) length = length << 8U | header[i];
    if (length > most) {
        throw convnext_edge::UsageError("a frame has " + std::to_string(length) + " bytes, at most " +
                                        std::to_string(most) + " are taken");
    }
    frame.kind = static_cast<char>(header[0]);
    frame.bytes.resize(length);
    if (read_bytes(frame.bytes.data(), length, idle_seconds) < length) {
        throw convnext_edge::UsageError("standard input ends in a frame of " + std::to_string(length) + " bytes");
    }
    return true;
}

void Pipe::write(char kind, const std::string& text) {
    begin(kind, text.size());
    write_bytes(text.data(), text.size());
}

void Pipe::begin(char kind, std::size_t length) {
    std::uint8_t header[kHeader] = {static_cast<std::uint8_t>(kind)};
    for (std::size_t i = 1; i < kHeader; ++i) header[i] = static_cast<std::uint8_t>(length >> 8U * (i - 1) & 0xffU);
    write_bytes(header, kHeader);
}

void Pipe::write_bytes(const void* bytes, std::size_t length) {
    const auto* next = static_cast<const char*>(bytes);
    while (length > 0) {
        const auto written = write_some(output_, next, length);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) throw std::runtime_error(std::string("nobody reads the answers: ") + std::strerror(errno));
        next += written;
        length -= static_cast<std::size_t>(written);
    }
}
