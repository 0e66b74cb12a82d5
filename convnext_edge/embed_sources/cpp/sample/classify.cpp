// Shows what a model answers to a picture: see `classify --help`.

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "bench.hpp"
#include "convnext_edge.hpp"
#include "picture.hpp"

namespace {

constexpr char kHelp[] =
    "Usage: classify [OPTIONS] PICTURE\n"
    "\n"
    "  Prints what the model answers to a picture, a binary PPM or raw RGB bytes: the likeliest classes, the\n"
    "  probability of each label, the values, the embedding, or the shapes of maps.\n"
    "\n"
    "  --model DIR    folder with convnext_edge.txt  [default: model]\n"
    "  --top N        how many classes, or numbers of a vector  [default: 5]\n"
    "  --size WxH     PICTURE is raw RGB of that many pixels\n"
    "  --threads N    of the engine  [default: all cores]\n"
    "  --bench        time it instead, and print JSON\n"
    "  --runs N       timed calls  [default: 50]\n"
    "\n"
    "Example:  classify --top 3 picture.ppm\n";

struct Arguments {
    BenchOptions bench;
    std::string picture;
    std::string size;
    int top = 5;
    bool timed = false;
    bool help = false;
};

int whole_number(const std::string& option, const std::string& text) {
    try {
        std::size_t used = 0;
        const int value = std::stoi(text, &used);
        if (used == text.size() && value >= 1) return value;
    } catch (const std::exception&) {  // falls through to the one message for all that is wrong
    }
    throw convnext_edge::UsageError(option + " " + text + " is less than 1\nGive a whole number from 1.");
}

Arguments parse(int count, char** words) {
    Arguments found;
    found.bench.model = "model";
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        const auto value = [&] {
            if (++i >= count) throw convnext_edge::UsageError(word + " needs a value\nSee classify --help.");
            return std::string(words[i]);
        };
        if (word == "--help" || word == "-h") found.help = true;
        else if (word == "--bench") found.timed = true;
        else if (word == "--model") found.bench.model = value();
        else if (word == "--size") found.size = value();
        else if (word == "--top") found.top = whole_number(word, value());
        else if (word == "--threads") found.bench.threads = whole_number(word, value());
        else if (word == "--runs") found.bench.runs = whole_number(word, value());
        else if (found.picture.empty() && word.rfind("--", 0) != 0) found.picture = word;
        else throw convnext_edge::UsageError("'" + word + "' is no option\nSee classify --help.");
    }
    if (found.picture.empty() && !found.help) {
        throw convnext_edge::UsageError("no picture is named\nSee classify --help.");
    }
    return found;
}

void show_predictions(const std::vector<convnext_edge::Prediction>& found) {
    for (const auto& one : found) {
        std::printf("%6.2f %%  %4zu  %.*s\n", 100.0 * static_cast<double>(one.probability), one.index,
                    static_cast<int>(one.label.size()), one.label.data());
    }
}

void show_values(const std::vector<float>& values, const std::vector<std::string>& labels) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::printf("%12.6g  %s\n", static_cast<double>(values[i]), labels[i].c_str());
    }
}

std::string text(float value) {
    char made[32];
    std::snprintf(made, sizeof made, "%g", static_cast<double>(value));
    return made;
}

/// Name and shape of each output, and the first numbers of a vector.
void show_outputs(const std::vector<convnext_edge::Output>& outputs, std::size_t top) {
    for (const auto& output : outputs) {
        std::string line = output.name;
        for (std::size_t i = 0; i < output.shape.size(); ++i) line += (i > 0 ? "x" : " ") + std::to_string(output.shape[i]);
        if (output.shape.size() == 1) {
            line += ':';
            for (std::size_t i = 0; i < std::min(top, output.values.size()); ++i) line += ' ' + text(output.values[i]);
            if (top < output.values.size()) line += " ...";
        }
        std::cout << line << '\n';
    }
}

void show(const convnext_edge::Model& model, const convnext_edge::Image& image, std::size_t top) {
    const std::string& task = model.info().task;
    if (task == "classify") show_predictions(model.classify(image, top));
    else if (task == "multilabel") show_predictions(model.multilabel(image));
    else if (task == "regress") show_values(model.regress(image), model.labels());
    else show_outputs(model.run(image), top);
}

void run(const Arguments& arguments) {
    const Picture picture = read_picture(arguments.picture, arguments.size);
    if (arguments.timed) {
        std::cout << bench(picture.image(), arguments.bench) << '\n';
        return;
    }
    const convnext_edge::Model model(arguments.bench.model, {arguments.bench.threads});
    show(model, picture.image(), static_cast<std::size_t>(arguments.top));
}

}  // namespace

int main(int count, char** words) {
    try {
        const Arguments arguments = parse(count, words);
        if (arguments.help) {
            std::cout << kHelp;
        } else {
            run(arguments);
        }
        return 0;
    } catch (const convnext_edge::UsageError& error) {
        std::cerr << "Error: " << error.what() << '\n';
        return 2;
    } catch (const std::exception& error) {
        std::cerr << "Error: " << error.what() << '\n';
        return 1;
    }
}
