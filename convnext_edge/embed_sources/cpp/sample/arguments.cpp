#include "arguments.hpp"

#include "command_line.hpp"
#include "convnext_edge.hpp"

const char* const kHelp =
    "Usage: classify [OPTIONS] PICTURE...\n"
    "\n"
    "  Prints what the model answers to pictures: the likeliest classes, the probability of each label, the\n"
    "  values, the embedding, the shapes of maps, the share of the pixels that each class has, or the objects. A\n"
    "  picture is a JPEG, PNG, BMP or binary PPM, raw RGB bytes, or a folder of pictures.\n"
    "\n"
    "  --model DIR      folder with convnext_edge.txt  [default: model]\n"
    "  --top N          how many classes, or numbers of a vector  [default: 5]\n"
    "  --json           print JSON, with the keys of convnext-edge predict\n"
    "  --threshold T    of detect, and of multilabel with --json: tell what has a higher probability  [default: 0.5]\n"
    "  --maps DIR       of segment: write NAME.labels.png and NAME.overlay.png of each picture; of detect the latter\n"
    "  --size WxH       PICTURE is raw RGB of that many pixels\n"
    "  --camera DEVICE  a camera of Linux in place of pictures, as /dev/video0; with --json an object a line\n"
    "  --frames N       of the camera  [default: until it is stopped]\n"
    "  --threads N      of the engine, at most the CPUs that this process may use  [default: all of them]\n"
    "  --bench          time it instead, and print JSON\n"
    "  --runs N         timed calls  [default: 50]\n"
    "\n"
    "Example:  classify --top 3 picture.jpg\n";

namespace {

using convnext_edge::UsageError;

void check(const Arguments& found) {
    if (found.help) return;
    if (found.pictures.empty() && found.camera.empty()) throw UsageError("no picture is named\nSee classify --help.");
    if (!found.pictures.empty() && !found.camera.empty()) {
        throw UsageError("a picture and a camera are named\nGive one of them.");
    }
    if (!found.maps.empty() && (found.timed || !found.camera.empty())) {
        throw UsageError("--maps is for pictures that are answered\nLeave it out with --bench and --camera.");
    }
    if (found.timed && found.pictures.size() != 1) throw UsageError("--bench takes one picture\nSee classify --help.");
}

}  // namespace

Arguments parse(int count, char** words) {
    Arguments found;
    found.bench.model = "model";
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        const auto value = [&] {
            if (++i >= count) throw UsageError(word + " needs a value\nSee classify --help.");
            return std::string(words[i]);
        };
        if (word == "--help" || word == "-h") found.help = true;
        else if (word == "--json") found.json = true;
        else if (word == "--bench") found.timed = true;
        else if (word == "--model") found.bench.model = value();
        else if (word == "--size") found.size = value();
        else if (word == "--maps") found.maps = value();
        else if (word == "--camera") found.camera = value();
        else if (word == "--frames") found.frames = whole_number(word, value());
        else if (word == "--threshold") found.threshold = share(word, value());
        else if (word == "--top") found.top = whole_number(word, value());
        else if (word == "--threads") found.bench.threads = whole_number(word, value());
        else if (word == "--runs") found.bench.runs = whole_number(word, value());
        else if (word.rfind("--", 0) != 0) found.pictures.push_back(word);
        else throw UsageError("'" + word + "' is no option\nSee classify --help.");
    }
    check(found);
    return found;
}
