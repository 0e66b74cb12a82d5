// Keys and values of convnext_edge.txt, as text and numbers, before anything is made of them.
#pragma once

#include <array>
#include <filesystem>
#include <locale>
#include <map>
#include <sstream>
#include <string>

#include "convnext_edge.hpp"

namespace convnext_edge::detail {

constexpr char kFile[] = "file";  // the one key that may come again
constexpr char kAgain[] = "\nMake the folder again: convnext-edge embed.";

ArtifactError damaged(const std::filesystem::path& file, const std::string& why);

/// Of a key whose text is not what it should be.
ArtifactError unreadable(const std::filesystem::path& file, const std::string& key, const std::istringstream& text);

/// Reads a text as `T`, whatever the locale of the application.
template <typename T>
T parse(const std::filesystem::path& file, const std::string& key, std::istringstream& text) {
    T value{};
    text.imbue(std::locale::classic());
    if (!(text >> value) || !(text.eof() || text.peek() == ' ')) throw unreadable(file, key, text);
    return value;
}

/// Throws where there is more than what was read.
inline void check_end(const std::filesystem::path& file, const std::string& key, std::istringstream& text) {
    if (text.peek() != std::istringstream::traits_type::eof()) throw unreadable(file, key, text);
}

/// The lines of a manifest; what is missing, or is no number, is an ArtifactError.
class Reader {
   public:
    using Values = std::multimap<std::string, std::string>;

    explicit Reader(std::filesystem::path file);

    const Values& values() const { return values_; }
    const std::filesystem::path& file() const { return file_; }

    std::string text(const std::string& key) const;

    bool has(const std::string& key) const { return values_.count(key) > 0; }

    std::string text(const std::string& key, const std::string& otherwise) const {
        return has(key) ? text(key) : otherwise;
    }

    template <typename T>
    T number(const std::string& key) const {
        std::istringstream stream(text(key));
        const T value = parse<T>(file_, key, stream);
        check_end(file_, key, stream);
        return value;
    }

    std::array<double, 3> triple(const std::string& key) const {
        std::istringstream stream(text(key));
        std::array<double, 3> values{};
        for (double& value : values) value = parse<double>(file_, key, stream);
        check_end(file_, key, stream);
        return values;
    }

   private:
    std::filesystem::path file_;
    Values values_;
};

}  // namespace convnext_edge::detail
