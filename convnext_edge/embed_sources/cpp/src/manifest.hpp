#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "preprocess.hpp"

namespace convnext_edge::detail {

/// convnext_edge.txt: what `convnext-edge embed` wrote of the engine, from its sidecar.
struct Manifest {
    std::string runtime;
    std::string runtime_version;
    std::string engine;
    bool takes_bytes = false;  // else normalized float32
    std::string task;                  // as "classify"
    std::vector<std::string> outputs;  // names, in the order of the engine
    Frame frame;                       // the way of an image to the input
    bool upright = false;              // whether photographs are to be turned as their EXIF orientation says
    std::string interpolation;
    std::array<double, 3> mean{};  // by channel, of values in 0..1
    std::array<double, 3> deviation{};
    std::size_t classes = 0;  // numbers that have a label; 0 for an embedding and for maps
    std::size_t first_label = 0;  // of a detector, the first class that objects may have
    std::size_t detections = 0;   // of a detector, the most that are found in an image; 0 of another model
    std::vector<std::pair<std::string, std::string>> files;  // SHA-256 and name
};

/// Reads the manifest and checks the digest of each file that it lists. Throws ArtifactError.
Manifest read_manifest(const std::filesystem::path& folder);

/// One label a line, as many as there are classes. Throws ArtifactError.
std::vector<std::string> read_labels(const std::filesystem::path& folder, std::size_t classes);

}  // namespace convnext_edge::detail
