// Shows an engine the images that come on standard input: see `serve --help` and server.hpp.

#include <iostream>
#include <string>

#include "command_line.hpp"
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
    "  --threads N    of the engine, at most the CPUs that this process may use  [default: all of them]\n"
    "  --time-layers  let the runtime time each layer\n"
    "\n"
    "Example:  serve --model model --threads 4\n";

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
        else if (word == "--threads") found.threads = whole_number(word, value());
        else if (word == "--time-layers") found.time_layers = true;
        else throw convnext_edge::UsageError("'" + word + "' is no option\nSee serve --help.");
    }
    return false;
}

}  // namespace

int main(int count, char** words) {
    return run_program([&] {
        ServeOptions options;
        if (parse(count, words, options)) {
            std::cout << kHelp;
            return 0;
        }
        options.threads = bounded_threads(options.threads);
        serve(options);
        return 0;
    });
}
