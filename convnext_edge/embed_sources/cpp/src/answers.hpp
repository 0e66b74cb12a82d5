#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "convnext_edge.hpp"

namespace convnext_edge::detail {

/// Answers of a model with labels, from its logits. Allocates nothing once it is made.
class Answers {
   public:
    explicit Answers(const std::vector<std::string>& labels);

    /// The `top_k` likeliest, with softmax over all.
    const std::vector<Prediction>& rank(const std::vector<float>& logits, std::size_t top_k);

    /// All in their order, each with its sigmoid.
    const std::vector<Prediction>& judge(const std::vector<float>& logits);

   private:
    const std::vector<std::string>& labels_;
    std::vector<std::size_t> order_;
    std::vector<Prediction> predictions_;
};

bool all_finite(const std::vector<float>& values);

}  // namespace convnext_edge::detail
