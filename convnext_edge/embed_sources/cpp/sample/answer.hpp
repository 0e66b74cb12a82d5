#pragma once

#include <string>

#include "convnext_edge.hpp"
#include "maps.hpp"

/// What is told of an answer.
struct Asked {
    std::size_t top = 5;        // classes, or numbers of a vector
    float threshold = 0.5F;     // over which a label holds, or an object is told
    MapWriter* maps = nullptr;  // writes label maps and overlays, where it is not null
};

/// What the model answers to an image, as lines for people: the likeliest classes, the probability of each label, the
/// values, the share of the pixels that each class has, the objects, or the outputs with the first numbers of a vector.
/// `picture`: its name.
std::string answer_text(const convnext_edge::Model& model, const convnext_edge::Image& image, const Asked& asked,
                        const std::string& picture);

/// The same as a JSON object, with the keys that `convnext-edge predict --json` has for a picture.
std::string answer_json(const convnext_edge::Model& model, const convnext_edge::Image& image, const Asked& asked,
                        const std::string& picture);
