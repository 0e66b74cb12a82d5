#include "manifest_reader.hpp"

#include <fstream>
#include <system_error>
#include <utility>

namespace convnext_edge::detail {
namespace {

using std::filesystem::path;

constexpr std::size_t kMaxBytes = 1 << 20;  // of the manifest; usual are up to 2 KiB

std::string read_text(const path& file) {
    std::error_code unreadable;
    std::ifstream stream;
    if (std::filesystem::is_regular_file(file, unreadable)) stream.open(file, std::ios::binary);
    if (!stream.is_open()) {
        throw ArtifactError(file.string() + " does not exist\nName the folder model/ of what convnext-edge embed wrote.");
    }
    std::string text(kMaxBytes + 1, '\0');
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(stream.gcount()));
    if (text.size() > kMaxBytes) throw damaged(file, "it has more than " + std::to_string(kMaxBytes) + " bytes");
    return text;
}

Reader::Values read_lines(const path& file) {
    std::istringstream stream(read_text(file));
    Reader::Values values;
    for (std::string line; std::getline(stream, line);) {
        const auto space = line.find(' ');
        if (space == std::string::npos) continue;
        const std::string key = line.substr(0, space);
        if (key != kFile && values.count(key) > 0) throw damaged(file, "it has " + key + " twice");
        values.emplace(key, line.substr(space + 1));
    }
    return values;
}

}  // namespace

ArtifactError damaged(const std::filesystem::path& file, const std::string& why) {
    return ArtifactError(file.string() + " is damaged: " + why + kAgain);
}

ArtifactError unreadable(const std::filesystem::path& file, const std::string& key, const std::istringstream& text) {
    return damaged(file, key + " is '" + text.str() + "'");
}

Reader::Reader(std::filesystem::path file) : file_(std::move(file)), values_(read_lines(file_)) {}

std::string Reader::text(const std::string& key) const {
    const auto found = values_.find(key);
    if (found == values_.end()) throw damaged(file_, "it has no " + key);
    return found->second;
}

}  // namespace convnext_edge::detail
