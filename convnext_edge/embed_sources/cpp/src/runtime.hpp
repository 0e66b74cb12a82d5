#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

namespace convnext_edge::detail {

/// What to do about an engine that a runtime refuses.
constexpr char kRefused[] = "\nTake the version of the runtime that it was built with, or build and embed it again.";

/// What an engine must look like.
struct Contract {
    std::filesystem::path file;
    bool takes_bytes;        // else float32
    std::size_t resolution;  // pixels
    std::size_t classes;
};

/// One call at a time of an engine, with its own memory.
class Request {
   public:
    virtual ~Request() = default;

    /// (3, resolution, resolution) values, bytes or floats, to be filled before `run`.
    virtual void* input() = 0;

    /// Computes (classes) logits, valid until the next call. Throws TargetError.
    virtual const float* run() = 0;
};

/// A loaded engine; `request` may be called from several threads at once.
class Engine {
   public:
    virtual ~Engine() = default;

    /// Throws TargetError.
    virtual std::unique_ptr<Request> request() = 0;
};

/// Loads an engine for calls of `threads` threads (0: all cores). Throws TargetError.
std::unique_ptr<Engine> load_engine(const Contract& contract, int threads);

/// As the sidecar calls it.
const char* runtime_name();

/// Version of the library that is loaded.
std::string runtime_version();

}  // namespace convnext_edge::detail
