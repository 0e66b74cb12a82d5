#pragma once

#include <string>

struct ServeOptions {
    std::string model = "model";  // folder
    int threads = 0;              // 0: all cores
    bool time_layers = false;
};

/// Answers frames (frames.hpp) on standard input with frames on standard output until standard input ends, or nothing
/// has come for a quarter of an hour. Nothing listens on a port.
///
/// First of all comes `H`, JSON: the protocol's number, the model, the shapes of a call, and the facts of facts.hpp.
///
/// | asked | holds | answered by | holds |
/// | --- | --- | --- | --- |
/// | `I` | images as the engine takes them, one behind the other | `O` | float32 of each image: all outputs in their order |
/// | `T` | 4 bytes, the lowest first: how many calls to time | `T` | JSON: `milliseconds` of each call on the last image, facts |
/// | `L` | nothing; with `time_layers` | `L` | JSON: `layers`, each with `name`, `kind`, `milliseconds` |
/// | `Q` | nothing | | the end |
///
/// Whatever goes wrong is answered by `E`, the text of the error, and ends the program: it throws.
void serve(const ServeOptions& options);
