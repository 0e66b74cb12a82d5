/// Answers RGB images with an engine that `convnext-edge embed` put into a folder.
///
///     const convnext_edge::Model model("model");
///     for (const auto& found : model.classify({pixels, width, height}, 5)) {
///         std::cout << found.probability << "  " << found.label << '\n';
///     }
///
/// The call has the name of the model's task: classify, multilabel, regress, embed, features, segment or detect. Images
/// are resized, cropped and normalized exactly as `convnext-edge validate` does it, so the accuracy that was validated
/// is the accuracy that an application gets.
#pragma once

#include <array>
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

/// An image that the model cannot be shown: no pixels, too large, too elongated.
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
    std::string_view label;  ///< lives as long as a Model or Workspace of the model
    float logit = 0;         ///< what the model computed
    float probability = 0;   ///< softmax over all classes; of multilabel the sigmoid of its own logit
};

/// One output of the model for an image.
struct Output {
    /// "logits", "values", "embedding", "map", or "map0" for that of stage 0; of a detector "boxes", "labels", "scores"
    /// and "masks"
    std::string name;
    std::vector<std::size_t> shape;  ///< (numbers) of a vector; (channels, rows, columns) of a map and of a segmenter
    std::vector<float> values;       ///< the last axis fastest
};

/// The class of each pixel of an image, in the size that the model sees.
struct LabelMap {
    int width = 0;                       ///< in pixels
    int height = 0;                      ///< in pixels
    std::vector<std::uint32_t> classes;  ///< (height, width) positions among the model's classes, row by row
};

/// In pixels from the upper left corner.
struct Box {
    double left = 0;
    double top = 0;
    double right = 0;
    double bottom = 0;
};

/// Which pixels of a rectangle of a picture are of an object; outside, none is.
struct Mask {
    int left = 0;    ///< in pixels of the picture, as all of these
    int top = 0;
    int width = 0;
    int height = 0;
    std::vector<std::uint8_t> inside;  ///< (height, width), 1 for a pixel of the object and 0 for another, row by row
};

/// One object in a picture.
struct Object {
    static constexpr std::size_t kMaskEdge = 28;  ///< rows and columns of `likely`

    std::size_t index = 0;   ///< position of its class among the model's
    std::string_view label;  ///< lives as long as a Model or Workspace of the model
    float score = 0;         ///< how sure the model is, from 0 to 1
    Box box;                 ///< in pixels of the picture, within it
    Box whole;               ///< the same before it was cut off at the edges: what the mask is over
    int picture_width = 0;   ///< in pixels
    int picture_height = 0;  ///< in pixels
    /// How likely each part of the box is of the object, row by row: what the mask is drawn from.
    std::array<float, kMaskEdge * kMaskEdge> likely{};

    /// The pixels of the picture that are of it with a likelihood of more than a half.
    Mask mask() const;

    /// The same into a mask whose memory is used again: it allocates only where that is too little.
    void draw(Mask& mask) const;
};

/// Red, green and blue of a class in label maps of `convnext-edge predict`: those of Pascal VOC, which repeat after 256.
std::array<std::uint8_t, 3> color_of(std::size_t index);

/// What a node of the engine took, as the runtime itself times it.
struct LayerTime {
    std::string name;         ///< of the node, as the engine has it; the runtime may have added to it
    std::string kind;         ///< the runtime's name of the operator
    double milliseconds = 0;  ///< mean over the calls
};

/// Cosine of the angle between two embeddings of a model: 1 where they point in the same direction, -1 where in
/// opposite ones. Throws UsageError for vectors of different lengths, or one that is zero.
double cosine(const std::vector<float>& a, const std::vector<float>& b);

struct Options {
    /// That one call may use, up to 1024; 0 leaves it to the runtime (all cores). ExecuTorch has one pool for a process:
    /// UsageError where another number than 1 is not that of the models that are loaded.
    int threads = 0;

    /// Whether nodes are timed, for `Workspace::layer_times`. It makes calls slower.
    bool time_layers = false;
};

/// What a model is, as the folder says it.
struct Info {
    std::string engine;           ///< file name
    std::string runtime;          ///< "openvino", "onnxruntime" or "executorch"
    std::string runtime_version;  ///< of the library that is loaded
    std::string target_version;   ///< of the runtime that the engine was built with
    int resolution = 0;           ///< rows of what the model sees, in pixels
    bool takes_bytes = false;     ///< whether the engine takes raw bytes, or normalized float32
    std::size_t classes = 0;      ///< numbers that have a label: none of `embed` and `features`
    int width = 0;                ///< columns of what the model sees, in pixels
    std::string task;             ///< "classify", "multilabel", "regress", "embed", "features", "segment" or "detect"
    bool upright = false;         ///< whether to turn photographs as their EXIF orientation says before they are given
    std::size_t first_label = 0;  ///< of `detect`, the first class that objects may have: 1 where 0 is the background
    std::size_t detections = 0;   ///< of `detect`, the most objects that are found in an image
};

class Workspace;

/// A loaded model. All const members may be called from several threads at once. Copies are cheap: they share
/// the model.
///
/// `run` is for every task, the others are for the one of their name and throw UsageError at other models. All of them
/// throw ImageError and TargetError, and take a workspace from a pool, which grows to as many as there are calls at a
/// time. Given a workspace, they do the same without any allocation by this library once it has seen an image of this
/// size; the answer is then valid until the workspace is used again.
class Model {
   public:
    /// Loads the engine in `folder` after checking the SHA-256 of each file.
    /// Throws ArtifactError, TargetError, UsageError.
    explicit Model(const std::filesystem::path& folder, const Options& options = {});
    // No moves, which are copies then: no Model is ever without a model.
    ~Model();
    Model(const Model&) noexcept;
    Model& operator=(const Model&) noexcept;

    /// All outputs, as the engine computes them.
    std::vector<Output> run(const Image& image) const;
    const std::vector<Output>& run(const Image& image, Workspace& workspace) const;

    /// The `top_k` likeliest classes, best first (all of them where there are fewer; the lower index first
    /// among equals).
    std::vector<Prediction> classify(const Image& image, std::size_t top_k = 1) const;
    const std::vector<Prediction>& classify(const Image& image, std::size_t top_k, Workspace& workspace) const;

    /// All labels in their order, each with a probability of its own: the answer is yes from 0.5, where the logit is 0.
    std::vector<Prediction> multilabel(const Image& image) const;
    const std::vector<Prediction>& multilabel(const Image& image, Workspace& workspace) const;

    /// The values, in the order of the labels.
    std::vector<float> regress(const Image& image) const;

    /// The embedding; `cosine` compares two. Where the model has a map too, `run` has both.
    std::vector<float> embed(const Image& image) const;

    /// The map of each stage, the finest first.
    std::vector<Output> features(const Image& image) const;

    /// The class of each pixel: that with the largest logit, the lower index among equals.
    LabelMap segment(const Image& image) const;
    const LabelMap& segment(const Image& image, Workspace& workspace) const;

    /// The objects whose score is higher than the threshold, the surest first.
    std::vector<Object> detect(const Image& image, float threshold = 0.5F) const;
    const std::vector<Object>& detect(const Image& image, float threshold, Workspace& workspace) const;

    /// Memory for one call at a time; one for each thread.
    Workspace workspace() const;

    const Info& info() const noexcept;
    const std::vector<std::string>& labels() const noexcept;

   private:
    friend class Workspace;
    struct State;
    template <typename Call>
    auto borrowing(Call call) const;
    std::vector<Output> checked(const char* task, const Image& image) const;
    std::shared_ptr<State> state_;
};

/// Another name of Model, for programs that classify.
using Classifier = Model;

/// Buffers of one call and, in its single steps, what a call does: `prepare` (or `set_input`), `infer`, and `rank`,
/// `judge`, `label_map` or `objects`. A step without the one before it, or of a workspace that was moved from, throws
/// UsageError. It keeps its model alive, and may outlive the Model.
class Workspace {
   public:
    ~Workspace();
    Workspace(Workspace&&) noexcept;
    Workspace& operator=(Workspace&&) noexcept;

    /// Resizes, crops and normalizes `image` into the engine's input. Returns what was cropped before
    /// normalization: (resolution, width, 3) bytes. Throws ImageError.
    const std::vector<std::uint8_t>& prepare(const Image& image);

    /// Takes an image that was prepared elsewhere, as the engine takes it: (3, resolution, width) bytes, or normalized
    /// float32. `bytes`: the length of `values`. Throws UsageError for another length.
    void set_input(const void* values, std::size_t bytes);

    /// Runs the engine on what was prepared last. Returns the values of the first output, such as the (classes) logits.
    /// Throws TargetError.
    const std::vector<float>& infer();

    /// All outputs of the last `infer`.
    const std::vector<Output>& outputs() const;

    /// The times of all nodes, in the order in which they run, over the calls so far; ONNX Runtime leaves the first
    /// one out, and tells them once. Throws UsageError for a model without Options::time_layers or before `infer`, and
    /// TargetError where the runtime does not tell them.
    std::vector<LayerTime> layer_times() const;

    /// The likeliest classes of the last logits. Throws UsageError for a `top_k` of 0 and for another task than
    /// `classify`, and TargetError where a logit is no number.
    const std::vector<Prediction>& rank(std::size_t top_k);

    /// The labels of the last logits, each with its probability. Throws UsageError for another task than `multilabel`,
    /// and TargetError where a logit is no number.
    const std::vector<Prediction>& judge();

    /// The class of each pixel by the last logits. Throws UsageError for another task than `segment`, and TargetError
    /// where a logit is no number.
    const LabelMap& label_map();

    /// The objects of the last outputs whose score is higher than the threshold, the surest first: in the picture that
    /// was prepared or, behind `set_input`, in what the model sees. Throws UsageError for another task than `detect` and
    /// for a threshold that is no number, and TargetError where an output is no number, or a label none of the model's.
    const std::vector<Object>& objects(float threshold = 0.5F);

    /// The same in what the model sees, as `prepare` returns it.
    const std::vector<Object>& objects_as_seen(float threshold = 0.5F);

   private:
    friend class Model;
    struct State;
    explicit Workspace(std::unique_ptr<State> state);
    State& state() const;
    std::unique_ptr<State> state_;
};

}  // namespace convnext_edge
