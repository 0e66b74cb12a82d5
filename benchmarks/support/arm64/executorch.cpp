// executorch MODEL IMAGES: run a model on so many images of noise, one at a time, on one thread.
//
// Behind the last image it prints the first output, a number a line.

#include <cstdlib>
#include <iostream>
#include <vector>

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/extension/threadpool/threadpool_guard.h>

#include "mark.hpp"

int main(int count, char** words) {
    if (count < 3) return 2;
    const executorch::extension::threadpool::NoThreadPoolGuard alone;  // all of it on this thread
    executorch::extension::Module model(words[1]);
    const auto method = model.method_meta("forward");
    if (!method.ok()) return 1;
    const auto told = method->input_tensor_meta(0);
    if (!told.ok()) return 1;
    const std::vector<executorch::aten::SizesType> shape(told->sizes().begin(), told->sizes().end());
    std::vector<float> image(told->nbytes() / sizeof(float));
    for (std::size_t i = 0; i < image.size(); ++i) image[i] = static_cast<float>(i % 97) / 97 - 0.5F;
    const auto tensor = executorch::extension::from_blob(image.data(), shape);
    for (int left = std::atoi(words[2]); left > 0; --left) {
        const auto made = model.forward(tensor);
        if (!made.ok()) return 1;
        mark();
        if (left > 1) continue;
        const auto& answer = made->at(0).toTensor();
        for (int i = 0; i < answer.numel(); ++i) std::cout << answer.const_data_ptr<float>()[i] << '\n';
    }
}
