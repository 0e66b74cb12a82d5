#include "server.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <sstream>
#include <vector>

#include "convnext_edge.hpp"
#include "cpus.hpp"
#include "facts.hpp"
#include "frames.hpp"

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kProtocol = 1;
constexpr int kUncounted = 3;                        // calls that are not counted
constexpr int kIdleSeconds = 15 * 60;             // then whoever asked is taken for gone
constexpr std::size_t kMostBytes = 32U << 20U;    // of a frame, but an image in any case
constexpr std::size_t kMostRuns = 1'000'000;
constexpr double kShortest = 0.3;                 // seconds: Linux counts in steps of a hundredth

double elapsed_ms(Clock::time_point started) {
    return std::chrono::duration<double, std::milli>(Clock::now() - started).count();
}

/// The SHA-256 of the engine, which was checked when the model was loaded.
std::string digest_of(const std::string& folder, const std::string& engine) {
    std::ifstream manifest(folder + "/convnext_edge.txt");
    for (std::string line; std::getline(manifest, line);) {
        std::istringstream words(line);
        std::string key, digest, name;
        words >> key >> digest >> std::ws;
        std::getline(words, name);
        if (key == "file" && name == engine) return digest;
    }
    return "";
}

template <typename Values, typename Text>
std::string list(const Values& values, Text text) {
    std::string made;
    for (const auto& value : values) made += (made.empty() ? "" : ", ") + text(value);
    return "[" + made + "]";
}

class Server {
   public:
    Server(const ServeOptions& options, Pipe& pipe)
        : options_(options),
          threads_(options.threads > 0 ? options.threads : usable_cpus()),
          pipe_(pipe),
          model_(options.model, {threads_, options.time_layers}),
          workspace_(model_.workspace()),
          image_bytes_(input_bytes(model_.info())) {}

    void run() {
        // A first answer to zeros, which any engine takes, tells the shapes of the outputs.
        std::vector<std::uint8_t> zeros(image_bytes_);
        workspace_.set_input(zeros.data(), zeros.size());
        workspace_.infer();
        most_ = std::max<std::size_t>(1, kMostBytes / std::max(image_bytes_, answer_bytes()));
        pipe_.write('H', hello());
        Frame asked;
        while (pipe_.read(asked, most_ * image_bytes_, kIdleSeconds)) {
            switch (asked.kind) {
                case 'I': answer(asked); break;
                case 'T': time(asked); break;
                case 'L': tell_layers(); break;
                case 'Q': return;
                default:
                    throw convnext_edge::UsageError("a frame is of kind " +
                                                    std::to_string(static_cast<unsigned char>(asked.kind)) +
                                                    ", which is none");
            }
        }
    }

   private:
    static std::size_t input_bytes(const convnext_edge::Info& info) {
        const std::size_t values = 3 * static_cast<std::size_t>(info.resolution) * static_cast<std::size_t>(info.width);
        return values * (info.takes_bytes ? 1 : sizeof(float));
    }

    /// Of all outputs for an image: those of a segmenter are many times as large as the image.
    std::size_t answer_bytes() const {
        std::size_t values = 0;
        for (const auto& output : workspace_.outputs()) values += output.values.size();
        return sizeof(float) * values;
    }

    std::string hello() const {
        const auto& info = model_.info();
        Fields fields = {
            {"protocol", std::to_string(kProtocol)},
            {"engine", json(info.engine)},
            {"sha256", json(digest_of(options_.model, info.engine))},
            {"runtime", json(info.runtime)},
            {"runtime_version", json(info.runtime_version)},
            {"input_type", json(std::string(info.takes_bytes ? "uint8" : "float32"))},
            {"input_shape", "[3, " + std::to_string(info.resolution) + ", " + std::to_string(info.width) + "]"},
            {"outputs", list(workspace_.outputs(), [](const auto& output) {
                 const auto size = [](std::size_t axis) { return std::to_string(axis); };
                 return json(Fields{{"name", json(output.name)}, {"shape", list(output.shape, size)}});
             })},
            {"most_images", std::to_string(most_)},
            {"threads", std::to_string(threads_)},
            {"cpus", std::to_string(usable_cpus())},
        };
        for (const auto& facts : {lasting_facts(), passing_facts()}) {
            fields.insert(fields.end(), facts.begin(), facts.end());
        }
        return json(fields);
    }

    void answer(const Frame& asked) {
        const std::size_t images = asked.bytes.size() / image_bytes_;
        if (images == 0 || asked.bytes.size() % image_bytes_ != 0) {
            throw convnext_edge::UsageError("images have " + std::to_string(asked.bytes.size()) +
                                            " bytes, which is no multiple of " + std::to_string(image_bytes_));
        }
        pipe_.begin('O', answer_bytes() * images);
        for (std::size_t i = 0; i < images; ++i) {
            workspace_.set_input(asked.bytes.data() + i * image_bytes_, image_bytes_);
            workspace_.infer();
            for (const auto& output : workspace_.outputs()) {
                pipe_.write_bytes(output.values.data(), sizeof(float) * output.values.size());
            }
        }
    }

    void tell_layers() {
        const auto text = [](const convnext_edge::LayerTime& layer) {
            return json(Fields{{"name", json(layer.name)},
                               {"kind", json(layer.kind)},
                               {"milliseconds", json(layer.milliseconds)}});
        };
        pipe_.write('L', json(Fields{{"layers", list(workspace_.layer_times(), text)}}));
    }

    void time(const Frame& asked) {
        std::size_t runs = 0;
        if (asked.bytes.size() == 4) {
            for (std::size_t i = 4; i > 0; --i) runs = runs << 8U | asked.bytes[i - 1];
        }
        if (runs < 1 || runs > kMostRuns) {
            throw convnext_edge::UsageError("a number of calls to time is none from 1 to " + std::to_string(kMostRuns));
        }
        for (int turn = 0; turn < kUncounted; ++turn) workspace_.infer();
        std::vector<double> times(runs);
        const double busy = busy_seconds();
        const std::clock_t own = std::clock();
        const auto started = Clock::now();
        for (double& milliseconds : times) {
            const auto call = Clock::now();
            workspace_.infer();
            milliseconds = elapsed_ms(call);
        }
        const double span = elapsed_ms(started) / 1000;
        const double worked = static_cast<double>(std::clock() - own) / CLOCKS_PER_SEC;
        const bool told = busy >= 0 && span >= kShortest;
        const double others = told ? std::max((busy_seconds() - busy - worked) / span, 0.0) : -1;
        Fields fields = {{"milliseconds", list(times, [](double value) { return json(value); })},
                         {"other_cpus", told ? json(others) : "null"}};
        const Fields facts = passing_facts();
        fields.insert(fields.end(), facts.begin(), facts.end());
        pipe_.write('T', json(fields));
    }

    const ServeOptions& options_;
    int threads_;
    Pipe& pipe_;
    convnext_edge::Model model_;
    convnext_edge::Workspace workspace_;
    std::size_t image_bytes_;
    std::size_t most_ = 1;  // images in a frame
};

}  // namespace

void serve(const ServeOptions& options) {
    Pipe pipe;
    try {
        Server(options, pipe).run();
    } catch (const std::exception& error) {
        pipe.write('E', error.what());
        throw;
    }
}
