#pragma once

#include <string>

#include "convnext_edge.hpp"

/// What the model answers to an image, as lines for people: the likeliest classes, the probability of each label, the
/// values, or the outputs with the first `top` numbers of a vector.
std::string answer_text(const convnext_edge::Model& model, const convnext_edge::Image& image, std::size_t top);

/// The same as a JSON object, with the keys that `convnext-edge predict --json` has for a picture. `picture`: its name.
std::string answer_json(const convnext_edge::Model& model, const convnext_edge::Image& image, std::size_t top,
                        const std::string& picture);
