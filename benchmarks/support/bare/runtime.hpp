#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

using Numbers = std::vector<float>;

/// What one thread asks an engine with; input and output live as long as it does.
class Request {
   public:
    virtual ~Request() = default;
    virtual std::size_t values() const = 0;  // of the input
    virtual Numbers answer(const Numbers& input) = 0;
};

/// A model that one runtime has loaded; threads may call `request` at once.
class Engine {
   public:
    virtual ~Engine() = default;
    virtual std::unique_ptr<Request> request() = 0;
};

/// With one thread for each call.
std::unique_ptr<Engine> open(const std::string& file);
