#include "json.hpp"

#include <cmath>
#include <cstdio>
#include <locale>
#include <sstream>

std::string quoted(const std::string& text) {
    std::string made = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') made += '\\';
        if (byte >= 0x20) {
            made += c;
        } else {
            char escaped[8];
            std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(byte));
            made += escaped;
        }
    }
    return made + "\"";
}

std::string number(double value, int digits) {
    if (!std::isfinite(value)) return "null";
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text.precision(digits);
    text << value;
    return text.str();
}

std::string hundredths(double value) {
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text.setf(std::ios_base::fixed, std::ios_base::floatfield);
    text.precision(2);
    text << value;
    return text.str();
}

std::string list(const std::vector<std::string>& values) {
    std::string made;
    for (const std::string& value : values) made += (made.empty() ? "" : ", ") + value;
    return "[" + made + "]";
}
