// litert MODEL IMAGES: run a model on so many images of noise, one at a time, on one thread.
//
// Behind the last image it prints the first output, a number a line.
//
// LiteRT's package has its library and no headers: what is used of the C interface is declared here.
// https://github.com/google-ai-edge/LiteRT/tree/main/litert/c

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <iostream>
#include <vector>

#include "mark.hpp"

extern "C" {
using Status = int;  // 0 is success
using Handle = void*;
enum { kCpu = 1, kRead = 0, kWrite = 1 };

Status LiteRtCreateEnvironment(int, const void*, Handle*);
Status LiteRtCreateModelFromFile(Handle, const char*, Handle*);
Status LiteRtGetModelSignature(Handle, std::size_t, Handle*);
Status LiteRtGetSignatureInputTensorByIndex(Handle, std::size_t, Handle*);
Status LiteRtGetSignatureOutputTensorByIndex(Handle, std::size_t, Handle*);
Status LiteRtGetNumSignatureOutputs(Handle, std::size_t*);
Status LiteRtGetRankedTensorType(Handle, void*);
Status LiteRtCreateOptions(Handle*);
Status LiteRtSetOptionsHardwareAccelerators(Handle, int);
Status LiteRtCreateCompiledModel(Handle, Handle, Handle, Handle*);
Status LiteRtGetCompiledModelInputBufferRequirements(Handle, std::size_t, std::size_t, Handle*);
Status LiteRtGetCompiledModelOutputBufferRequirements(Handle, std::size_t, std::size_t, Handle*);
Status LiteRtCreateManagedTensorBufferFromRequirements(Handle, const void*, Handle, Handle*);
Status LiteRtGetTensorBufferPackedSize(Handle, std::size_t*);
Status LiteRtLockTensorBuffer(Handle, void**, int);
Status LiteRtUnlockTensorBuffer(Handle);
Status LiteRtRunCompiledModel(Handle, std::size_t, std::size_t, Handle*, std::size_t, Handle*);
}

namespace {

void check(Status status, const char* what) {
    if (status == 0) return;
    std::cerr << what << " fails: " << status << '\n';
    std::exit(1);
}
#define CHECK(call) check(call, #call)

/// A description of a tensor, which only LiteRT reads; larger than any that it writes.
struct Type {
    alignas(16) std::byte opaque[256] = {};
};

Handle make_buffer(Handle environment, Handle tensor, Handle requirements) {
    Type type;
    CHECK(LiteRtGetRankedTensorType(tensor, &type));
    Handle buffer = nullptr;
    CHECK(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, requirements, &buffer));
    return buffer;
}

std::size_t numbers_of(Handle buffer) {
    std::size_t bytes = 0;
    CHECK(LiteRtGetTensorBufferPackedSize(buffer, &bytes));
    return bytes / sizeof(float);
}

void fill(Handle buffer) {
    void* memory = nullptr;
    const std::size_t size = numbers_of(buffer);
    CHECK(LiteRtLockTensorBuffer(buffer, &memory, kWrite));
    auto* image = static_cast<float*>(memory);
    for (std::size_t i = 0; i < size; ++i) image[i] = static_cast<float>(i % 97) / 97 - 0.5F;
    CHECK(LiteRtUnlockTensorBuffer(buffer));
}

void print(Handle buffer) {
    void* memory = nullptr;
    const std::size_t size = numbers_of(buffer);
    CHECK(LiteRtLockTensorBuffer(buffer, &memory, kRead));
    const auto* answer = static_cast<const float*>(memory);
    std::for_each(answer, answer + size, [](float number) { std::cout << number << '\n'; });
    CHECK(LiteRtUnlockTensorBuffer(buffer));
}

}  // namespace

int main(int count, char** words) {
    if (count < 3) return 2;
    Handle environment = nullptr, model = nullptr, signature = nullptr, options = nullptr, compiled = nullptr;
    CHECK(LiteRtCreateEnvironment(0, nullptr, &environment));
    CHECK(LiteRtCreateModelFromFile(environment, words[1], &model));
    CHECK(LiteRtCreateOptions(&options));
    CHECK(LiteRtSetOptionsHardwareAccelerators(options, kCpu));
    CHECK(LiteRtCreateCompiledModel(environment, model, options, &compiled));
    CHECK(LiteRtGetModelSignature(model, 0, &signature));

    Handle tensor = nullptr, requirements = nullptr;
    CHECK(LiteRtGetSignatureInputTensorByIndex(signature, 0, &tensor));
    CHECK(LiteRtGetCompiledModelInputBufferRequirements(compiled, 0, 0, &requirements));
    Handle image = make_buffer(environment, tensor, requirements);
    std::size_t outputs = 0;
    CHECK(LiteRtGetNumSignatureOutputs(signature, &outputs));
    std::vector<Handle> answers;
    for (std::size_t i = 0; i < outputs; ++i) {
        CHECK(LiteRtGetSignatureOutputTensorByIndex(signature, i, &tensor));
        CHECK(LiteRtGetCompiledModelOutputBufferRequirements(compiled, 0, i, &requirements));
        answers.push_back(make_buffer(environment, tensor, requirements));
    }
    fill(image);
    for (int left = std::atoi(words[2]); left > 0; --left) {
        CHECK(LiteRtRunCompiledModel(compiled, 0, 1, &image, answers.size(), answers.data()));
        mark();
    }
    print(answers.front());
}
