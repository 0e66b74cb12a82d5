// onnxruntime MODEL IMAGES [PROFILE]: run a model on so many images of noise, one at a time, on one thread.
//
// Behind the last image it prints the first output, a number a line.
// PROFILE: beginning of the name of a file for ONNX Runtime's own profile.

#include <cstdlib>
#include <iostream>
#include <vector>

#include <onnxruntime_cxx_api.h>

#include "mark.hpp"

int main(int count, char** words) {
    if (count < 3) return 2;
    Ort::Env environment(ORT_LOGGING_LEVEL_ERROR);
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    options.AddConfigEntry("session.qdq_matmulnbits_accuracy_level", "1");  // as targets/onnxruntime.py
    if (count > 3) options.EnableProfiling(words[3]);
    Ort::Session session(environment, words[1], options);

    Ort::AllocatorWithDefaultOptions allocator;
    const auto input = session.GetInputNameAllocated(0, allocator);
    const auto output = session.GetOutputNameAllocated(0, allocator);
    auto shape = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape();
    shape[0] = 1;
    std::vector<float> image(static_cast<std::size_t>(shape[1] * shape[2] * shape[3]));
    for (std::size_t i = 0; i < image.size(); ++i) image[i] = static_cast<float>(i % 97) / 97 - 0.5F;
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const Ort::Value tensor =
        Ort::Value::CreateTensor<float>(memory, image.data(), image.size(), shape.data(), shape.size());
    const char* const inputs[] = {input.get()};
    const char* const outputs[] = {output.get()};
    for (int left = std::atoi(words[2]); left > 0; --left) {
        const auto answers = session.Run(Ort::RunOptions{nullptr}, inputs, &tensor, 1, outputs, 1);
        mark();
        if (left > 1) continue;
        const float* const answer = answers[0].GetTensorData<float>();
        const std::size_t size = answers[0].GetTensorTypeAndShapeInfo().GetElementCount();
        for (std::size_t i = 0; i < size; ++i) std::cout << answer[i] << '\n';
    }
}
