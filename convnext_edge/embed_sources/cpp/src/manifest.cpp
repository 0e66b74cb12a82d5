#include "manifest.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <system_error>

#include "convnext_edge.hpp"
#include "manifest_reader.hpp"
#include "sha256.hpp"

namespace convnext_edge::detail {
namespace {

using std::filesystem::path;

constexpr char kName[] = "convnext_edge.txt";
constexpr char kLabels[] = "labels.txt";
// 2: what older libraries would take for a classifier of squares; 3: images that they would prepare otherwise; 4: images
// in a corner
const std::set<std::string> kFormats = {"1", "2", "3", "4"};
constexpr std::size_t kMaxName = 199;       // bytes of a file name
constexpr std::size_t kMostDetections = 1 << 16;

// Each task, and the name of its first output; the other outputs are maps, but for those of a detector.
const std::map<std::string, std::string> kFirst = {
    {"classify", "logits"}, {"multilabel", "logits"}, {"regress", "values"}, {"embed", "embedding"}, {"features", ""},
    {"segment", "logits"}, {"detect", "boxes"}};
const std::vector<std::string> kOfDetectors = {"boxes", "labels", "scores", "masks"};

/// Whether `name` is that of a file in the folder itself, with the rules of Python's artifacts/names.py.
bool is_plain(const std::string& name) {
    const auto byte = [&](std::size_t i) { return i < name.size() ? static_cast<unsigned char>(name[i]) : 0U; };
    const bool drive = byte(1) == ':' && ((byte(0) | 0x20U) >= 'a' && (byte(0) | 0x20U) <= 'z');
    if (name.empty() || name.size() > kMaxName || name == "." || name == ".." || drive) return false;
    for (std::size_t i = 0; i < name.size(); ++i) {
        // 0xc2 begins the control characters 0x80 to 0x9f in UTF-8
        const bool control = byte(i) < 0x20 || byte(i) == 0x7f ||
                             (byte(i) == 0xc2 && byte(i + 1) >= 0x80 && byte(i + 1) <= 0x9f);
        if (control || byte(i) == '/' || byte(i) == '\\') return false;
    }
    return true;
}

void check_format(const Reader& reader) {
    const std::string format = reader.text("format");
    if (kFormats.count(format) == 0) {
        throw ArtifactError(reader.file().string() + " has format " + format + ", this version reads 1 to 4" +
                            "\nEmbed again with the version of these sources.");
    }
}

/// Which of two words a key has.
bool is_second(const Reader& reader, const std::string& key, const std::array<std::string, 2>& words,
               const std::string& otherwise) {
    const std::string said = reader.text(key, otherwise);
    if (said != words[0] && said != words[1]) throw damaged(reader.file(), key + " is '" + said + "'");
    return said == words[1];
}

const std::array<std::string, 2> kBooleans = {"false", "true"};

/// The way before format 3: a crop of 1 squashes the whole image, where `squash` does not say otherwise.
void read_early_way(const Reader& reader, Frame& frame) {
    const bool squashes = is_second(reader, "squash", kBooleans, frame.crop == 1.0 ? "true" : "false");
    if (!squashes) return;
    frame.mode = ResizeMode::squash;
    frame.crop = 1;
}

Frame read_frame(const Reader& reader) {
    static const std::map<std::string, ResizeMode> modes = {
        {"center", ResizeMode::center}, {"squash", ResizeMode::squash}, {"pad", ResizeMode::pad},
        {"corner", ResizeMode::corner}};
    Frame frame;
    frame.rows = reader.number<int>("resolution");
    frame.columns = reader.has("width") ? reader.number<int>("width") : frame.rows;
    frame.crop = reader.number<double>("crop");
    if (!reader.has("resize_mode")) {
        read_early_way(reader, frame);
        return frame;
    }
    const auto mode = modes.find(reader.text("resize_mode"));
    if (mode == modes.end()) {
        throw damaged(reader.file(), "resize_mode is '" + reader.text("resize_mode") + "'");
    }
    frame.mode = mode->second;
    frame.resize = reader.has("resize") ? reader.number<int>("resize") : 0;
    frame.round_down = is_second(reader, "crop_rounding", {"half_even", "floor"}, "half_even");
    frame.rows_first = is_second(reader, "resampler", {"pillow", "pytorch"}, "pillow");
    std::istringstream colors(reader.text("pad_color", "0 0 0"));
    for (std::uint8_t& color : frame.pad_color) {
        const int value = parse<int>(reader.file(), "pad_color", colors);
        if (value < 0 || value > 255) throw damaged(reader.file(), "pad_color is out of range");
        color = static_cast<std::uint8_t>(value);
    }
    check_end(reader.file(), "pad_color", colors);
    return frame;
}

std::string read_task(const Reader& reader) {
    std::string task = reader.text("task", "classify");
    if (kFirst.count(task) > 0) return task;
    std::string known;
    for (const auto& each : kFirst) known += (known.empty() ? "" : ", ") + each.first;
    throw ArtifactError("task '" + task + "' is not known\nKnown: " + known + ".");
}

/// Whether it is "map", or that with the number of a stage.
bool is_map(const std::string& name) {
    return name.compare(0, 3, "map") == 0 && name.size() <= 5 &&
           std::all_of(name.begin() + 3, name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// Whether a task has these outputs: a vector where it has one, and maps; or those of a detector.
bool has_outputs(const std::string& task, const std::vector<std::string>& names) {
    if (task == "detect") return names == kOfDetectors;
    const std::string& vector = kFirst.at(task);
    return !names.empty() && (vector.empty() || names.front() == vector) &&
           std::all_of(names.begin() + (vector.empty() ? 0 : 1), names.end(), is_map) &&
           std::set<std::string>(names.begin(), names.end()).size() == names.size();
}

std::vector<std::string> read_outputs(const Reader& reader, const std::string& task) {
    const std::string said = task == "classify" ? reader.text("outputs", "logits") : reader.text("outputs");
    std::istringstream words(said);
    std::vector<std::string> names;
    for (std::string word; words >> word;) names.push_back(word);
    if (!has_outputs(task, names)) throw damaged(reader.file(), "outputs is '" + said + "'");
    return names;
}

void read_detection(const Reader& reader, Manifest& manifest) {
    if (manifest.task != "detect") return;
    manifest.first_label = reader.number<std::size_t>("first_label");
    manifest.detections = reader.number<std::size_t>("detections");
    const bool sound = manifest.first_label <= 1 && manifest.first_label < manifest.classes &&
                       manifest.detections >= 1 && manifest.detections <= kMostDetections;
    if (!sound) throw damaged(reader.file(), "first_label or detections are out of range");
}

void check_ranges(const path& file, const Manifest& manifest) {
    const bool labelled = manifest.task != "embed" && manifest.task != "features";
    const Frame& frame = manifest.frame;
    const int longest = std::max(frame.rows, frame.columns);
    const bool resizes = frame.resize == 0 || (frame.resize >= longest && frame.resize <= 1 << 14);
    const bool sound = std::min(frame.rows, frame.columns) >= 1 && longest <= 1 << 14 && frame.crop <= 1 &&
                       frame.crop * (1 << 30) >= longest && resizes &&
                       (manifest.classes >= 1) == labelled && manifest.classes <= 1 << 24;
    if (!sound) throw damaged(file, "resolution, crop, resize or classes are out of range");
    for (std::size_t channel = 0; channel < 3; ++channel) {
        const double mean = manifest.mean[channel];
        const double deviation = manifest.deviation[channel];
        const bool fits = mean >= 0 && mean <= 1 && deviation > 0 && deviation <= 1;
        if (!fits) throw damaged(file, "mean or std are out of range");
    }
}

void check_digest(const path& file, const std::string& expected) {
    std::error_code unreadable;
    if (!std::filesystem::is_regular_file(file, unreadable)) {
        throw ArtifactError(file.string() + " is missing, though the sidecar lists it\nMake the artifact again.");
    }
    const std::string found = sha256(file);
    if (found != expected) {
        throw ArtifactError(file.string() + " does not match its sidecar: sha256 " + found.substr(0, 12) +
                            "… instead of " + expected.substr(0, 12) +
                            "…\nThe file was changed after it was made; make it again.");
    }
}

std::vector<std::pair<std::string, std::string>> listed_files(const Reader& reader) {
    std::vector<std::pair<std::string, std::string>> files;
    const auto [first, last] = reader.values().equal_range(kFile);
    for (auto line = first; line != last; ++line) {
        const auto space = line->second.find(' ');
        const std::string name = space == std::string::npos ? "" : line->second.substr(space + 1);
        if (!is_plain(name)) throw damaged(reader.file(), "file is '" + line->second + "'");
        files.emplace_back(line->second.substr(0, space), name);
    }
    return files;
}

void check_lists(const Reader& reader, const Manifest& manifest, const std::string& name) {
    for (const auto& file : manifest.files) {
        if (file.second == name) return;
    }
    throw damaged(reader.file(), "it has no digest of " + name);
}

}  // namespace

Manifest read_manifest(const path& folder) {
    const Reader reader(folder / kName);
    check_format(reader);
    Manifest manifest;
    manifest.runtime = reader.text("runtime");
    manifest.runtime_version = reader.text("runtime_version");
    manifest.engine = reader.text("engine");
    manifest.takes_bytes = is_second(reader, "input", {"float32", "uint8"}, reader.text("input"));
    manifest.task = read_task(reader);
    manifest.outputs = read_outputs(reader, manifest.task);
    manifest.frame = read_frame(reader);
    manifest.upright = is_second(reader, "exif", kBooleans, "false");
    manifest.interpolation = reader.text("interpolation");
    manifest.mean = reader.triple("mean");
    manifest.deviation = reader.triple("std");
    manifest.classes = reader.number<std::size_t>("classes");
    manifest.files = listed_files(reader);
    check_ranges(reader.file(), manifest);
    read_detection(reader, manifest);
    for (const std::string& name : {manifest.engine, std::string(kLabels)}) check_lists(reader, manifest, name);
    for (const auto& [digest, name] : manifest.files) check_digest(folder / name, digest);
    return manifest;
}

std::vector<std::string> read_labels(const path& folder, std::size_t classes) {
    std::ifstream stream(folder / kLabels);
    std::vector<std::string> labels;
    for (std::string line; std::getline(stream, line);) labels.push_back(line);
    if (labels.size() != classes) {
        throw ArtifactError((folder / kLabels).string() + " has " + std::to_string(labels.size()) +
                            " labels for " + std::to_string(classes) + " classes" + kAgain);
    }
    return labels;
}

}  // namespace convnext_edge::detail
