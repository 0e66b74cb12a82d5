// Shows an engine the images that come on standard input: see `serve --help` and server.hpp.

#include <iostream>
#include <string>

#include "convnext_edge.hpp"
#include "server.hpp"

namespace {

constexpr char kHelp[] =
    "Usage: serve [OPTIONS]\n"
    "\n"
    "  Answers frames on standard input with frames on standard output, as `convnext-edge validate --on` sends them\n"
    "  to a device. Nothing listens on a port.\n"
    "\n"
    "  --model DIR    folder with convnext_edge.txt  [default: model]\n"
    "  --threads N    of the engine  [default: all cores]\n"
    "  --time-layers  let the runtime time each layer\n"
    "\n"
    "Example:  serve --model model --threads 4\n";

int whole_number(const std::string& text) {
    try {
        std::size_t used = 0;
        const int value = std::stoi(text, &used);
        if (used == text.size() && value >= 1) return value;
    } catch (const std::exception&) {  // falls through to the one message for all that is wrong
    }
    throw convnext_edge::UsageError("--threads " + text + " is less than 1\nGive a whole number from 1.");
}

/// Returns whether help is all that is asked for.
bool parse(int count, char** words, ServeOptions& found) {
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        const auto value = [&] {
            if (++i >= count) throw convnext_edge::UsageError(word + " needs a value\nSee serve --help.");
            return std::string(words[i]);
        };
        if (word == "--help" || word == "-h") return true;
        if (word == "--model") found.model = value();
        else if (word == "--threads") found.threads = whole_number(value());
        else if (word == "--time-layers") found.time_layers = true;
        else throw convnext_edge::UsageError("'" + word + "' is no option\nSee serve --help.");
    }
    return false;
}

}  // namespace

int main(int count, char** words) {
    try {
        ServeOptions options;
        if (parse(count, words, options)) std::cout << kHelp;
        else serve(options);
        return 0;
    } catch (const convnext_edge::UsageError& error) {
        std::cerr << "Error: " << error.what() << '\n';
        return 2;
    } catch (const std::exception& error) {
        std::cerr << "Error: " << error.what() << '\n';
        return 1;
    }
}
