#include "answers.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

namespace convnext_edge {
namespace detail {

Answers::Answers(const std::vector<std::string>& labels) : labels_(labels), order_(labels.size()) {
    predictions_.reserve(labels.size());
}

const std::vector<Prediction>& Answers::rank(const std::vector<float>& logits, std::size_t top_k) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    const auto end = order_.begin() + static_cast<std::ptrdiff_t>(std::min(top_k, order_.size()));
    std::partial_sort(order_.begin(), end, order_.end(), [&logits](std::size_t a, std::size_t b) {
        return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
    });
    const double largest = logits[order_.front()];
    const double sum = std::accumulate(logits.begin(), logits.end(), 0.0, [largest](double total, float logit) {
        return total + std::exp(logit - largest);
    });
    predictions_.clear();
    for (auto index = order_.begin(); index != end; ++index) {
        const float probability = static_cast<float>(std::exp(logits[*index] - largest) / sum);
        predictions_.push_back({*index, labels_[*index], logits[*index], probability});
    }
    return predictions_;
}

const std::vector<Prediction>& Answers::judge(const std::vector<float>& logits) {
    predictions_.clear();
    for (std::size_t index = 0; index < logits.size(); ++index) {
        const double probability = 1.0 / (1.0 + std::exp(-static_cast<double>(logits[index])));
        predictions_.push_back({index, labels_[index], logits[index], static_cast<float>(probability)});
    }
    return predictions_;
}

bool all_finite(const std::vector<float>& values) {
    return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

}  // namespace detail

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
    if (a.size() != b.size()) {
        throw UsageError("embeddings of " + std::to_string(a.size()) + " and " + std::to_string(b.size()) +
                         " numbers are not of one model\nCompare those of the same model.");
    }
    const auto product = [](const std::vector<float>& one, const std::vector<float>& other) {
        return std::inner_product(one.begin(), one.end(), other.begin(), 0.0, std::plus<>(),
                                  [](double x, double y) { return x * y; });
    };
    const double lengths = std::sqrt(product(a, a) * product(b, b));
    if (!(lengths > 0)) throw UsageError("an embedding of zeros has no direction\nGive what embed() returned.");
    return product(a, b) / lengths;
}

}  // namespace convnext_edge
