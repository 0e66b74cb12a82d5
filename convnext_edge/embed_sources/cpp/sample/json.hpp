#pragma once

#include <string>
#include <vector>

/// A JSON string of a text in UTF-8.
std::string quoted(const std::string& text);

/// A number of so many significant digits; null for what JSON has no number for. In any locale.
std::string number(double value, int digits = 6);

/// A number with two digits behind the point, in any locale.
std::string hundredths(double value);

/// A JSON array of what is JSON already.
std::string list(const std::vector<std::string>& values);
