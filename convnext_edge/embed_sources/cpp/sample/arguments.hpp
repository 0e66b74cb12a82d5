#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench.hpp"

extern const char* const kHelp;

/// What the command line says.
struct Arguments {
    BenchOptions bench;                 // with model and threads of all modes
    std::vector<std::string> pictures;  // files and folders
    std::string size;
    std::string maps;  // folder for label maps and overlays
    std::string camera;
    int frames = 0;  // of the camera; 0: until it is stopped
    int top = 5;
    std::optional<float> threshold;  // where it is said
    bool json = false;
    bool timed = false;
    bool help = false;
};

/// Throws convnext_edge::UsageError.
Arguments parse(int count, char** words);
