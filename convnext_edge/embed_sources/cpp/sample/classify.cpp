// Shows what a model answers to pictures: see `classify --help`.

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "answer.hpp"
#include "arguments.hpp"
#include "bench.hpp"
#include "camera.hpp"
#include "command_line.hpp"
#include "convnext_edge.hpp"
#include "json.hpp"
#include "maps.hpp"
#include "picture.hpp"

namespace {

using convnext_edge::Model;

/// Throws convnext_edge::UsageError for a threshold where the task has none.
Asked told_by(const Arguments& arguments, const Model& model, MapWriter* maps) {
    const std::string& task = model.info().task;
    if (arguments.threshold && task != "multilabel" && task != "detect") {
        throw convnext_edge::UsageError("--threshold means nothing to a model of the task " + task +
                                        "\nLeave it out; it is for multilabel and detect.");
    }
    Asked asked;
    asked.top = static_cast<std::size_t>(arguments.top);
    asked.threshold = arguments.threshold.value_or(asked.threshold);
    asked.maps = maps;
    return asked;
}

/// 1 where a picture could not be read.
int classify(const Arguments& arguments, const Model& model) {
    std::vector<std::string> files;
    for (const std::string& named : arguments.pictures) {
        for (const std::string& file : picture_files(named)) files.push_back(file);
    }
    const auto maps = arguments.maps.empty() ? nullptr : std::make_unique<MapWriter>(model, arguments.maps);
    std::vector<std::string> answered;
    std::vector<std::string> failed;
    const Asked asked = told_by(arguments, model, maps.get());
    for (const std::string& file : files) {
        try {
            const Picture picture = read_picture(file, arguments.size, model.info().upright);
            if (arguments.json) {
                answered.push_back(answer_json(model, picture.image(), asked, file));
            } else {
                if (files.size() > 1) std::cout << file << '\n';
                std::cout << answer_text(model, picture.image(), asked, file);
            }
        } catch (const convnext_edge::ImageError& error) {
            std::cerr << "Error: " << error.what() << '\n';
            failed.push_back("{\"picture\": " + quoted(file) + ", \"reason\": " + quoted(error.what()) + "}");
        }
    }
    if (arguments.json) {
        const auto& info = model.info();
        std::cout << "{\"artifact\": " << quoted(arguments.bench.model + "/" + info.engine)
                  << ", \"target\": " << quoted(info.runtime) << ", \"task\": " << quoted(info.task)
                  << ", \"pictures\": " << files.size() << ", \"predictions\": " << list(answered)
                  << ", \"failed\": " << list(failed) << "}\n";
    }
    return failed.empty() ? 0 : 1;
}

void watch(const Arguments& arguments, const Model& model) {
    Camera camera(arguments.camera);
    const Asked asked = told_by(arguments, model, nullptr);
    for (int frame = 1; arguments.frames == 0 || frame <= arguments.frames; ++frame) {
        const Picture picture = camera.next();
        const std::string name = arguments.camera + " frame " + std::to_string(frame);
        if (arguments.json) std::cout << answer_json(model, picture.image(), asked, name) << std::endl;
        else std::cout << name << '\n' << answer_text(model, picture.image(), asked, name) << std::flush;
    }
}

int run(Arguments arguments) {
    arguments.bench.threads = bounded_threads(arguments.bench.threads);
    if (arguments.timed) {
        const Picture picture = read_picture(arguments.pictures.front(), arguments.size);
        std::cout << bench(picture.image(), arguments.bench) << '\n';
        return 0;
    }
    const Model model(arguments.bench.model, {arguments.bench.threads});
    if (arguments.camera.empty()) return classify(arguments, model);
    watch(arguments, model);
    return 0;
}

}  // namespace

int main(int count, char** words) {
    return run_program([&] {
        const Arguments arguments = parse(count, words);
        if (!arguments.help) return run(arguments);
        std::cout << kHelp;
        return 0;
    });
}
