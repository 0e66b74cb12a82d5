#pragma once

#include <string>

#include "convnext_edge.hpp"
#include "maps.hpp"

/// What the model answers to an image, as lines for people: the likeliest classes, the probability of each label, the
/// values, the share of the pixels that each class has, or the outputs with the first `top` numbers of a vector.
/// `picture`: its name. `maps`: writes label maps and overlays of a segmenter, where it is not null.
std::string answer_text(const convnext_edge::Model& model, const convnext_edge::Image& image, std::size_t top,
                        const std::string& picture, MapWriter* maps = nullptr);

/// The same as a JSON object, with the keys that `convnext-edge predict --json` has for a picture.
std::string answer_json(const convnext_edge::Model& model, const convnext_edge::Image& image, std::size_t top,
                        const std::string& picture, MapWriter* maps = nullptr);
