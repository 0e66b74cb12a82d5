// bare ENGINE THREADS SECONDS: the load of tests/fixtures/cpp/soak.cpp on a runtime alone, without our library.
// It prints the same counts. Requests that are not in use wait in a pool, as there.

#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <mutex>
#include <random>
#include <sstream>
#include <thread>

#include "runtime.hpp"

namespace {

constexpr std::size_t kOwn = 20;       // calls in a round of an engine that is opened for them
constexpr std::size_t kTogether = 60;  // of the one that all share
constexpr std::size_t kAtOnce = 5;     // calls of each kind by all threads at once, before the first round
constexpr std::size_t kInputs = 4;

/// Physical memory of this process, and bytes that it has allocated.
std::string memory() {
    malloc_trim(0);
    const auto allocated = mallinfo2();
    std::ifstream file("/proc/self/statm");
    long all = 0;
    long resident = 0;
    file >> all >> resident;
    return std::to_string(resident * sysconf(_SC_PAGESIZE)) + ", " + std::to_string(allocated.uordblks + allocated.hblkhd);
}

class Shared {
   public:
    explicit Shared(const std::string& file) : engine(open(file)) {}

    Numbers answer(const Numbers& input) {
        std::unique_ptr<Request> taken = take();
        Numbers found = taken->answer(input);
        const std::lock_guard lock(mutex_);
        pool_.push_back(std::move(taken));
        return found;
    }

    const std::unique_ptr<Engine> engine;

   private:
    std::unique_ptr<Request> take() {
        {
            const std::lock_guard lock(mutex_);
            if (!pool_.empty()) {
                auto taken = std::move(pool_.back());
                pool_.pop_back();
                return taken;
            }
        }
        return engine->request();
    }

    std::mutex mutex_;
    std::vector<std::unique_ptr<Request>> pool_;
};

class Soak {
   public:
    explicit Soak(std::string file) : file_(std::move(file)), shared_(file_) {
        std::mt19937 generator(0);
        std::normal_distribution<float> normal;
        inputs_.resize(kInputs, Numbers(shared_.engine->request()->values()));
        for (auto& input : inputs_) {
            for (float& value : input) value = normal(generator);
            answers_.push_back(shared_.answer(input));
        }
    }

    /// Let all threads ask at once, so that the shared engine has seen the most that it will.
    void warm_up(int threads) {
        std::atomic<int> missing{threads};
        in_threads(threads, [&](std::size_t) {
            const auto request = shared_.engine->request();
            --missing;
            while (missing > 0) std::this_thread::yield();
            for (std::size_t call = 0; call < kAtOnce; ++call) {
                request->answer(inputs_.back());
                shared_.answer(inputs_.back());
            }
        });
    }

    void round(int threads) {
        in_threads(threads, [this](std::size_t number) { open_and_ask(number); });
    }

    std::string json(const std::string& at_rest) const {
        std::ostringstream text;
        text << "{\"calls\": " << calls_ << ", \"opened\": " << opened_ << ", \"wrong\": " << wrong_
             << ", \"errors\": " << errors_ << ", \"at_rest\": [" << at_rest << "]}";
        return text.str();
    }

   private:
    template <typename Work>
    static void in_threads(int threads, Work work) {
        std::vector<std::thread> workers;
        for (int number = 0; number < threads; ++number) {
            workers.emplace_back([&work, number] { work(static_cast<std::size_t>(number)); });
        }
        for (auto& worker : workers) worker.join();
    }

    void open_and_ask(std::size_t start) {
        try {
            Shared own(file_);
            ++opened_;
            ask(own, start, kOwn);
            ask(shared_, start, kTogether);
        } catch (const std::exception& error) {
            ++errors_;
            std::cerr << error.what() << '\n';
        }
    }

    /// By turns with a request of the thread and with one of the pool.
    void ask(Shared& engine, std::size_t first, std::size_t calls) {
        const auto request = engine.engine->request();
        for (std::size_t call = first; call < first + calls; ++call) {
            const std::size_t which = call % kInputs;
            const bool pooled = call / kInputs % 2 == 1;
            const Numbers answer = pooled ? engine.answer(inputs_[which]) : request->answer(inputs_[which]);
            ++calls_;
            if (answer != answers_[which]) ++wrong_;
        }
    }

    std::string file_;
    Shared shared_;
    std::vector<Numbers> inputs_;
    std::vector<Numbers> answers_;
    std::atomic<long> calls_{0};
    std::atomic<long> opened_{0};
    std::atomic<long> wrong_{0};
    std::atomic<long> errors_{0};
};

}  // namespace

int main(int count, char** arguments) {
    if (count != 4) return 2;
    using Seconds = std::chrono::duration<double>;
    Soak soak(arguments[1]);
    const auto began = std::chrono::steady_clock::now();
    std::ostringstream at_rest;
    double passed = 0;
    soak.warm_up(std::atoi(arguments[2]));
    do {
        soak.round(std::atoi(arguments[2]));
        at_rest << (passed > 0 ? ", [" : "[");
        passed = Seconds(std::chrono::steady_clock::now() - began).count();
        at_rest << passed << ", " << memory() << ']';
    } while (passed < std::atof(arguments[3]));
    std::cout << soak.json(at_rest.str()) << '\n';
}
