#include "manifest.hpp"

#include <fstream>
#include <locale>
#include <map>
#include <sstream>
#include <system_error>

#include "convnext_edge.hpp"
#include "sha256.hpp"

namespace convnext_edge::detail {
namespace {

using std::filesystem::path;

constexpr char kName[] = "convnext_edge.txt";
constexpr char kLabels[] = "labels.txt";
constexpr char kFormat[] = "1";
constexpr char kFile[] = "file";  // the one key that may come again
constexpr char kAgain[] = "\nMake the folder again: convnext-edge embed.";
constexpr std::size_t kMaxBytes = 1 << 20;  // of the manifest; usual are up to 2 KiB
constexpr std::size_t kMaxName = 199;       // bytes of a file name

using Values = std::multimap<std::string, std::string>;

ArtifactError damaged(const path& file, const std::string& why) {
    return ArtifactError(file.string() + " is damaged: " + why + kAgain);
}

std::string read_text(const path& file) {
    std::error_code unreadable;
    std::ifstream stream;
    if (std::filesystem::is_regular_file(file, unreadable)) stream.open(file, std::ios::binary);
    if (!stream.is_open()) {
        throw ArtifactError(file.string() + " does not exist\nName a folder that convnext-edge embed wrote.");
    }
    std::string text(kMaxBytes + 1, '\0');
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(stream.gcount()));
    if (text.size() > kMaxBytes) throw damaged(file, "it has more than " + std::to_string(kMaxBytes) + " bytes");
    return text;
}

Values read_lines(const path& file) {
    std::istringstream stream(read_text(file));
    Values values;
    for (std::string line; std::getline(stream, line);) {
        const auto space = line.find(' ');
        if (space == std::string::npos) continue;
        const std::string key = line.substr(0, space);
        if (key != kFile && values.count(key) > 0) throw damaged(file, "it has " + key + " twice");
        values.emplace(key, line.substr(space + 1));
    }
    return values;
}

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

/// Reads a text as `T`, whatever the locale of the application.
template <typename T>
T parse(const path& file, const std::string& key, std::istringstream& text) {
    T value{};
    text.imbue(std::locale::classic());
    if (!(text >> value) || !(text.eof() || text.peek() == ' ')) {
        throw damaged(file, key + " is '" + text.str() + "'");
    }
    return value;
}

class Reader {
   public:
    explicit Reader(path file) : file_(std::move(file)), values_(read_lines(file_)) {}

    const Values& values() const { return values_; }
    const path& file() const { return file_; }

    std::string text(const std::string& key) const {
        const auto found = values_.find(key);
        if (found == values_.end()) throw damaged(file_, "it has no " + key);
        return found->second;
    }

    template <typename T>
    T number(const std::string& key) const {
        std::istringstream stream(text(key));
        return parse<T>(file_, key, stream);
    }

    std::array<double, 3> triple(const std::string& key) const {
        std::istringstream stream(text(key));
        std::array<double, 3> values{};
        for (double& value : values) value = parse<double>(file_, key, stream);
        return values;
    }

   private:
    path file_;
    Values values_;
};

void check_format(const Reader& reader) {
    const std::string format = reader.text("format");
    if (format != kFormat) {
        throw ArtifactError(reader.file().string() + " has format " + format + ", this version reads " + kFormat +
                            "\nEmbed again with the version of these sources.");
    }
}

void check_ranges(const path& file, const Manifest& manifest) {
    const bool sound = manifest.resolution >= 1 && manifest.resolution <= 1 << 14 && manifest.crop <= 1 &&
                       manifest.crop * (1 << 30) >= manifest.resolution &&
                       manifest.classes >= 1 && manifest.classes <= 1 << 24;
    if (!sound) throw damaged(file, "resolution, crop or classes are out of range");
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
    manifest.takes_bytes = reader.text("input") == "uint8";
    manifest.resolution = reader.number<int>("resolution");
    manifest.crop = reader.number<double>("crop");
    manifest.interpolation = reader.text("interpolation");
    manifest.mean = reader.triple("mean");
    manifest.deviation = reader.triple("std");
    manifest.classes = reader.number<std::size_t>("classes");
    manifest.files = listed_files(reader);
    check_ranges(reader.file(), manifest);
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
