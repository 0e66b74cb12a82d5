#include "answer.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <utility>
#include <vector>

#include "json.hpp"

namespace {

using convnext_edge::Image;
using convnext_edge::LabelMap;
using convnext_edge::Model;
using convnext_edge::Object;
using convnext_edge::Output;
using convnext_edge::Prediction;

constexpr int kExact = 9;          // digits that tell any float32 from its neighbours

template <typename... Values>
std::string formatted(const char* format, Values... values) {
    char made[64];
    std::snprintf(made, sizeof made, format, values...);
    return made;
}

std::string lines_of(const std::vector<Prediction>& found) {
    std::string text;
    for (const auto& one : found) {
        text += formatted("%6.2f %%  %4zu  ", 100.0 * static_cast<double>(one.probability), one.index);
        text += std::string(one.label) + '\n';
    }
    return text;
}

std::string lines_of(const std::vector<float>& values, const std::vector<std::string>& labels) {
    std::string text;
    for (std::size_t i = 0; i < values.size(); ++i) {
        text += formatted("%12.6g  ", static_cast<double>(values[i])) + labels[i] + '\n';
    }
    return text;
}

/// Name and shape of each output, and the first numbers of a vector.
std::string lines_of(const std::vector<Output>& outputs, std::size_t top) {
    std::string text;
    for (const auto& output : outputs) {
        text += output.name;
        for (std::size_t i = 0; i < output.shape.size(); ++i) {
            text += (i > 0 ? "x" : " ") + std::to_string(output.shape[i]);
        }
        if (output.shape.size() == 1) {
            text += ':';
            for (std::size_t i = 0; i < std::min(top, output.values.size()); ++i) {
                text += formatted(" %g", static_cast<double>(output.values[i]));
            }
            if (top < output.values.size()) text += " ...";
        }
        text += '\n';
    }
    return text;
}

/// The labels that hold, the likeliest first.
std::vector<Prediction> holding(std::vector<Prediction> found, float threshold) {
    const auto holds = [&](const Prediction& one) { return one.probability > threshold; };
    found.erase(std::stable_partition(found.begin(), found.end(), holds), found.end());
    std::stable_sort(found.begin(), found.end(),
                     [](const auto& a, const auto& b) { return a.probability > b.probability; });
    return found;
}

std::string json_of(const std::vector<Prediction>& found) {
    std::vector<std::string> rows;
    for (const auto& one : found) {
        rows.push_back("{\"label\": " + quoted(std::string(one.label)) + ", \"index\": " + std::to_string(one.index) +
                       ", \"probability\": " + number(static_cast<double>(one.probability)) + "}");
    }
    return "\"top\": " + list(rows);
}

std::string json_of(const std::vector<float>& values, int digits) {
    std::vector<std::string> numbers;
    for (const float value : values) numbers.push_back(number(static_cast<double>(value), digits));
    return list(numbers);
}

/// The vector, where there is one, and the shape of each map.
std::string json_of(const std::vector<Output>& outputs) {
    std::string text;
    std::string shapes;
    for (const auto& output : outputs) {
        if (output.shape.size() == 1) {
            double squares = 0;
            for (const float value : output.values) squares += static_cast<double>(value) * static_cast<double>(value);
            text = "\"norm\": " + number(std::sqrt(squares)) + ", \"embedding\": " + json_of(output.values, kExact);
        } else {
            std::vector<std::string> edges;
            for (const std::size_t edge : output.shape) edges.push_back(std::to_string(edge));
            shapes += (shapes.empty() ? "" : ", ") + quoted(output.name) + ": " + list(edges);
        }
    }
    if (!shapes.empty()) text += (text.empty() ? "" : ", ") + ("\"shapes\": {" + shapes + "}");
    return text;
}

/// The classes that pixels have, each with its share of them, the largest first.
std::vector<std::pair<std::size_t, double>> shares(const LabelMap& map, std::size_t classes) {
    std::vector<std::size_t> counts(classes);
    for (const std::uint32_t index : map.classes) ++counts[index];
    std::vector<std::pair<std::size_t, double>> found;
    for (std::size_t index = 0; index < classes; ++index) {
        const double share = static_cast<double>(counts[index]) / static_cast<double>(map.classes.size());
        if (counts[index] > 0) found.emplace_back(index, share);
    }
    std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    return found;
}

std::string lines_of(const Segments& found, const std::vector<std::string>& labels) {
    std::string text;
    for (const auto& [index, share] : shares(found.map, labels.size())) {
        text += formatted("%6.2f %%  %4zu  ", 100 * share, index) + labels[index] + '\n';
    }
    for (const std::string& file : {found.label_map, found.overlay}) text += file.empty() ? "" : "wrote " + file + '\n';
    return text;
}

std::string json_of(const Segments& found, const std::vector<std::string>& labels) {
    std::vector<std::string> rows;
    for (const auto& [index, share] : shares(found.map, labels.size())) {
        rows.push_back("{\"label\": " + quoted(labels[index]) + ", \"index\": " + std::to_string(index) +
                       ", \"share\": " + number(share) + "}");
    }
    const auto place = [](const std::string& file) { return file.empty() ? "null" : quoted(file); };
    return "\"classes\": " + list(rows) + ", \"label_map\": " + place(found.label_map) +
           ", \"overlay\": " + place(found.overlay);
}

std::string lines_of(const Objects& answer) {
    std::string text;
    for (const Object& object : answer.found) {
        const auto& box = object.box;
        text += formatted("%6.2f %%  %4zu  ", 100.0 * static_cast<double>(object.score), object.index);
        text += std::string(object.label);
        text += formatted("  at %.0f,%.0f", box.left, box.top);
        text += formatted(", %.0fx%.0f pixels\n", box.right - box.left, box.bottom - box.top);
    }
    if (answer.found.empty()) text = "no objects\n";
    return text + (answer.overlay.empty() ? "" : "wrote " + answer.overlay + '\n');
}

std::string json_of(const Objects& answer) {
    std::vector<std::string> rows;
    for (const Object& object : answer.found) {
        const auto& box = object.box;
        const std::vector<std::string> sides = {hundredths(box.left), hundredths(box.top),
                                                hundredths(box.right - box.left), hundredths(box.bottom - box.top)};
        rows.push_back("{\"label\": " + quoted(std::string(object.label)) +
                       ", \"category_id\": " + std::to_string(object.index) +
                       ", \"score\": " + number(static_cast<double>(object.score)) + ", \"bbox\": " + list(sides) +
                       ", \"segmentation\": " + segmentation_json(object) + "}");
    }
    return "\"objects\": " + list(rows) +
           ", \"overlay\": " + (answer.overlay.empty() ? "null" : quoted(answer.overlay));
}

Segments segments(const Model& model, const Image& image, const std::string& picture, MapWriter* maps) {
    return maps == nullptr ? Segments{model.segment(image), "", ""} : maps->write(image, picture);
}

Objects objects(const Model& model, const Image& image, const std::string& picture, const Asked& asked) {
    if (asked.maps == nullptr) return {model.detect(image, asked.threshold), ""};
    return asked.maps->write_objects(image, picture, asked.threshold);
}

}  // namespace

std::string answer_text(const Model& model, const Image& image, const Asked& asked, const std::string& picture) {
    const std::string& task = model.info().task;
    if (task == "classify") return lines_of(model.classify(image, asked.top));
    if (task == "multilabel") return lines_of(model.multilabel(image));
    if (task == "regress") return lines_of(model.regress(image), model.labels());
    if (task == "segment") return lines_of(segments(model, image, picture, asked.maps), model.labels());
    if (task == "detect") return lines_of(objects(model, image, picture, asked));
    return lines_of(model.run(image), asked.top);
}

std::string answer_json(const Model& model, const Image& image, const Asked& asked, const std::string& picture) {
    const std::string& task = model.info().task;
    std::string found;
    if (task == "classify") found = json_of(model.classify(image, asked.top));
    else if (task == "multilabel") found = json_of(holding(model.multilabel(image), asked.threshold));
    else if (task == "regress") found = "\"values\": " + json_of(model.regress(image), 6);
    else if (task == "segment") found = json_of(segments(model, image, picture, asked.maps), model.labels());
    else if (task == "detect") found = json_of(objects(model, image, picture, asked));
    else found = json_of(model.run(image));
    return "{\"picture\": " + quoted(picture) + ", " + found + "}";
}
