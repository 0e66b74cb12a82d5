/// Classifies RGB images with an engine that `convnext-edge embed` put into a folder.
///
///     const convnext_edge::Classifier classifier("model");
///     for (const auto& found : classifier.classify({pixels, width, height}, 5)) {
///         std::cout << found.probability << "  " << found.label << '\n';
///     }
///
/// Images are resized, cropped and normalized exactly as `convnext-edge validate` does it, so the accuracy that
/// was validated is the accuracy that an application gets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace convnext_edge {

/// Base of all that this library throws on purpose; `what()` says what failed and why and, where there is something
/// to do, that on a second line. Where memory runs out, it may be std::bad_alloc.
class Error : public std::runtime_error {
   public:
    using std::runtime_error::runtime_error;
};

/// A file of the folder is missing, damaged, or not what its sidecar says.
class ArtifactError : public Error {
   public:
    using Error::Error;
};

/// An image that cannot be classified: no pixels, too large, too elongated.
class ImageError : public Error {
   public:
    using Error::Error;
};

/// The runtime refuses the engine, or fails while it runs.
class TargetError : public Error {
   public:
    using Error::Error;
};

/// A call that contradicts what is documented here.
class UsageError : public Error {
   public:
    using Error::Error;
};

/// A view of 8-bit RGB pixels, which the caller owns: R, G, B, R, G, B, ... from left to right, then the next row.
struct Image {
    const std::uint8_t* rgb = nullptr;
    int width = 0;           ///< in pixels
    int height = 0;          ///< in pixels
    std::size_t stride = 0;  ///< bytes from one row to the next; 0 means 3 * width
};

/// One class of an answer.
struct Prediction {
    std::size_t index = 0;   ///< position among the model's classes
    std::string_view label;  ///< lives as long as a Classifier or Workspace of the model
    float logit = 0;         ///< what the model computed
    float probability = 0;   ///< softmax over all classes
};

struct Options {
    /// That one call may use, up to 1024; 0 leaves it to the runtime (all cores). ExecuTorch has one pool for a process:
    /// UsageError where another number than 1 is not that of the models that are loaded.
    int threads = 0;
};

/// What a model is, as the folder says it.
struct Info {
    std::string engine;           ///< file name
    std::string runtime;          ///< "openvino", "onnxruntime" or "executorch"
    std::string runtime_version;  ///< of the library that is loaded
    std::string target_version;   ///< of the runtime that the engine was built with
    int resolution = 0;           ///< edge of the square that the model sees, in pixels
    bool takes_bytes = false;     ///< whether the engine takes raw bytes, or normalized float32
    std::size_t classes = 0;
};

class Workspace;

/// A loaded model. All const members may be called from several threads at once. Copies are cheap: they share
/// the model.
class Classifier {
   public:
    /// Loads the engine in `folder` after checking the SHA-256 of each file.
    /// Throws ArtifactError, TargetError, UsageError.
    explicit Classifier(const std::filesystem::path& folder, const Options& options = {});
    // No moves, which are copies then: no classifier is ever without a model.
    ~Classifier();
    Classifier(const Classifier&) noexcept;
    Classifier& operator=(const Classifier&) noexcept;

    /// The `top_k` likeliest classes, best first (all of them where there are fewer; the lower index first
    /// among equals). Takes a workspace from a pool, which grows to as many as there are calls at a time.
    /// Throws ImageError, TargetError, UsageError.
    std::vector<Prediction> classify(const Image& image, std::size_t top_k = 1) const;

    /// The same without any allocation by this library once the workspace has seen an image of this size.
    /// The answer is valid until the workspace is used again.
    const std::vector<Prediction>& classify(const Image& image, std::size_t top_k, Workspace& workspace) const;

    /// Memory for one call at a time; one for each thread.
    Workspace workspace() const;

    const Info& info() const noexcept;
    const std::vector<std::string>& labels() const noexcept;

   private:
    friend class Workspace;
    struct State;
    std::shared_ptr<State> state_;
};

/// Buffers of one call and, in its single steps, what a call does: `prepare`, `infer`, `rank`. A step without the
/// one before it, or of a workspace that was moved from, throws UsageError.
/// It keeps its model alive, and may outlive the Classifier.
class Workspace {
   public:
    ~Workspace();
    Workspace(Workspace&&) noexcept;
    Workspace& operator=(Workspace&&) noexcept;

    /// Resizes, crops and normalizes `image` into the engine's input. Returns the cropped square before
    /// normalization: (resolution, resolution, 3) bytes. Throws ImageError.
    const std::vector<std::uint8_t>& prepare(const Image& image);

    /// Runs the engine on what was prepared last. Returns the (classes) logits. Throws TargetError.
    const std::vector<float>& infer();

    /// The likeliest classes of the last logits. Throws UsageError for a `top_k` of 0, and TargetError where a logit
    /// is no number.
    const std::vector<Prediction>& rank(std::size_t top_k);

   private:
    friend class Classifier;
    struct State;
    explicit Workspace(std::unique_ptr<State> state);
    State& state() const;
    std::unique_ptr<State> state_;
};

}  // namespace convnext_edge
