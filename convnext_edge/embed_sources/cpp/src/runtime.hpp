#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "convnext_edge.hpp"

namespace convnext_edge::detail {

/// What to do about an engine that a runtime refuses.
constexpr char kRefused[] = "\nTake the version of the runtime that it was built with, or build and embed it again.";

/// Why an engine is refused whose inputs or outputs are others.
constexpr char kOtherwise[] = "its input or output is not what the sidecar says";

/// Sizes of an array's axes.
using Shape = std::vector<std::size_t>;

std::size_t count(const Shape& shape);

/// What an engine must look like.
struct Contract {
    std::filesystem::path file;
    bool takes_bytes;     // else float32
    std::size_t rows;     // pixels
    std::size_t columns;  // pixels
    std::vector<std::string> outputs;
    std::size_t classes;  // numbers in the first output, or its channels; 0: whatever it has
    bool of_pixels = false;  // whether the outputs have the rows and columns of the input
    std::size_t detections = 0;  // places of a detector; 0 of another model

    std::size_t input_values() const { return 3 * rows * columns; }

    /// Whether these are shapes of the outputs, for a batch of one image: (1, numbers) of a vector, (1, channels, rows,
    /// columns) of a map; of a detector (1, places, 4), (1, places), (1, places), (1, places, 28, 28). 0 stands for a size that the engine leaves open: only the first may be.
    bool fits(const std::vector<Shape>& shapes) const;

    /// Whether an output has 64-bit integers: the labels of a detector. All others are float32.
    bool is_whole(std::size_t output) const { return detections > 0 && outputs[output] == "labels"; }
};

/// One call at a time of an engine, with its own memory.
class Request {
   public:
    virtual ~Request() = default;

    /// (3, rows, columns) values, bytes or floats, to be filled before `run`.
    virtual void* input() = 0;

    /// Computes the outputs. Throws TargetError.
    virtual void run() = 0;

    /// The values of an output, integers as floats; valid until the next call.
    virtual const float* output(std::size_t index) = 0;

    /// Of an engine that was loaded to time its nodes. Throws TargetError.
    virtual std::vector<LayerTime> layer_times() = 0;
};

/// A loaded engine; `request` may be called from several threads at once.
class Engine {
   public:
    virtual ~Engine() = default;

    /// Those of the outputs for one image, without the axis of the batch.
    virtual const std::vector<Shape>& shapes() const = 0;

    /// Throws TargetError.
    virtual std::unique_ptr<Request> request() = 0;
};

/// Loads an engine for calls of `threads` threads (0: all cores), and to time its nodes. Throws TargetError.
std::unique_ptr<Engine> load_engine(const Contract& contract, int threads, bool time_layers);

/// The shapes of the outputs without the axis of the batch.
std::vector<Shape> of_one_image(std::vector<Shape> shapes);

/// As the sidecar calls it.
const char* runtime_name();

/// Version of the library that is loaded.
std::string runtime_version();

}  // namespace convnext_edge::detail
