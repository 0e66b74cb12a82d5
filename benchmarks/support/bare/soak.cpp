// bare ENGINE THREADS SECONDS: the load of tests/fixtures/cpp/soak.cpp on a runtime alone, without our library.
// It prints the same counts. Requests that are not in use wait in a pool, as there.

#include "soak_load.hpp"

#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>

#include "runtime.hpp"

namespace {

constexpr std::size_t kInputs = 4;

class Bare {
   public:
    using Input = Numbers;
    using Answer = Numbers;

    explicit Bare(const std::string& file) : engine_(open(file)) {}

    std::unique_ptr<Request> own() { return engine_->request(); }
    Answer alone(std::unique_ptr<Request>& own, const Input& input) { return own->answer(input); }

    Answer pooled(const Input& input) {
        std::unique_ptr<Request> taken = take();
        Answer found = taken->answer(input);
        const std::lock_guard lock(mutex_);
        pool_.push_back(std::move(taken));
        return found;
    }

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
        return engine_->request();
    }

    const std::unique_ptr<Engine> engine_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Request>> pool_;
};

std::vector<Numbers> noise(Bare& model) {
    std::mt19937 generator(0);
    std::normal_distribution<float> normal;
    std::vector<Numbers> inputs(kInputs, Numbers(model.own()->values()));
    for (auto& input : inputs) {
        for (float& value : input) value = normal(generator);
    }
    return inputs;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 4) return 2;
    soaking::Load<Bare> load(arguments[1], noise);
    std::cout << load.run(std::atoi(arguments[2]), std::atof(arguments[3])) << '\n';
}
