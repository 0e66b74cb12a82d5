import Foundation
import OnnxRuntimeBindings

/// Answers images with the engine that `convnext-edge embed` put into a folder.
///
///     let model = try Model()
///     for found in try model.classify(RGBAImage(contentsOf: url, upright: model.upright), topK: 5) { print(found) }
///
/// `run` is for every task, the other calls are for the one of their name and throw `ConvNeXtEdgeError.usage` at other
/// models. Images are resized, cropped and normalized exactly as `convnext-edge validate` does it, so the accuracy that
/// was validated is the accuracy that an application gets. All members may be called from several threads at once.
public final class Model: @unchecked Sendable {
    public let labels: [String]
    /// "classify", "multilabel", "regress", "embed", "features", "segment" or "detect".
    public let task: String
    /// File name of the engine.
    public let engine: String
    /// What runs it: "onnxruntime".
    public let runtime: String
    /// Whether photographs are to be opened upright, as their EXIF orientation says.
    public let upright: Bool
    /// Of the ONNX Runtime that is loaded.
    public let runtimeVersion: String

    // More than any device has cores; the runtime starts as many as it is told.
    private static let maxThreads = 1024

    private let manifest: Manifest
    private let preprocessor: Preprocessor
    private let environment: ORTEnv  // has to outlive the session
    private let session: ORTSession
    private let input: String
    private let outputs: [String]  // as the engine calls them

    /// The folder that comes with this package.
    public static var bundledModel: URL { resources(of: .module).appendingPathComponent("model") }

    /// Loads the engine in `folder` after checking the SHA-256 of each file.
    ///
    /// threads: that one call may use; 0 leaves it to the runtime. Throws `ConvNeXtEdgeError`.
    public init(folder: URL = Model.bundledModel, threads: Int = 0) throws {
        if !(0...Model.maxThreads).contains(threads) {
            throw ConvNeXtEdgeError.usage(
                "threads \(threads) is out of range\n"
                    + "Give a whole number from 1 to \(Model.maxThreads), or 0 for all cores.")
        }
        let manifest = try Manifest.load(folder)
        self.manifest = manifest
        labels = try manifest.labels(folder)
        preprocessor = try Preprocessor(manifest)
        task = manifest.task
        engine = manifest.engine
        runtime = manifest.runtime
        upright = manifest.upright
        runtimeVersion = ORTVersion() ?? "unknown"
        do {
            environment = try ORTEnv(loggingLevel: .error)
            let options = try ORTSessionOptions()
            if threads > 0 { try options.setIntraOpNumThreads(Int32(threads)) }
            let path = folder.appendingPathComponent(manifest.engine).path
            session = try ORTSession(env: environment, modelPath: path, sessionOptions: options)
            input = try session.inputNames()[0]
            outputs = try session.outputNames()
        } catch {
            throw Model.failure("ONNX Runtime refuses \(manifest.engine)", error)
        }
        if outputs.count != manifest.outputs.count {
            throw ConvNeXtEdgeError.target(
                "\(manifest.engine) has \(outputs.count) outputs, not \(manifest.outputs.count)\n"
                    + "Build and embed it again.")
        }
    }

    /// All outputs, as the engine computes them. Throws `ConvNeXtEdgeError`, as all calls do.
    public func run(_ image: RGBAImage) throws -> [Output] {
        return try compute(prepare(image))
    }

    /// The `topK` likeliest classes, best first.
    public func classify(_ image: RGBAImage, topK: Int = 1) throws -> [Prediction] {
        try check(task: "classify")
        return try rank(infer(prepare(image)), labels, topK)
    }

    /// All labels in their order, each with a probability of its own: the answer is yes from 0.5.
    public func multilabel(_ image: RGBAImage) throws -> [Prediction] {
        try check(task: "multilabel")
        return try judge(infer(prepare(image)), labels)
    }

    /// The values, in the order of the labels.
    public func regress(_ image: RGBAImage) throws -> [Float] {
        return try checked("regress", image)[0].values
    }

    /// The embedding; `cosine` compares two. Where the model has a map too, `run` has both.
    public func embed(_ image: RGBAImage) throws -> [Float] {
        return try checked("embed", image)[0].values
    }

    /// The map of each stage, the finest first.
    public func features(_ image: RGBAImage) throws -> [Output] {
        return try checked("features", image)
    }

    /// The class of each pixel of what the model sees.
    public func segment(_ image: RGBAImage) throws -> LabelMap {
        return try labelMap(infer(prepare(image)))
    }

    /// The same for what `infer` returned: the class with the largest logit, the lower index among equals.
    public func labelMap(_ logits: [Float]) throws -> LabelMap {
        try check(task: "segment")
        let pixels = manifest.width * manifest.resolution
        if logits.count != labels.count * pixels || !logits.allSatisfy({ $0.isFinite }) {
            throw ConvNeXtEdgeError.target(
                "the \(logits.count) logits are not \(labels.count * pixels) finite numbers\n"
                    + "Validate the engine: convnext-edge validate.")
        }
        return LabelMap(logits: logits, width: manifest.width, height: manifest.resolution)
    }

    /// The objects whose score is higher than the threshold, the surest first.
    public func detect(_ image: RGBAImage, threshold: Float = 0.5) throws -> [DetectedObject] {
        return try objects(run(image), threshold: threshold, of: image)
    }

    /// The same for what `compute` returned; without the image, boxes are in pixels of what the model sees.
    public func objects(
        _ outputs: [Output], threshold: Float = 0.5, of image: RGBAImage? = nil
    ) throws -> [DetectedObject] {
        try check(task: "detect")
        if threshold.isNaN { throw ConvNeXtEdgeError.usage("the threshold is no number\nGive one from 0 to 1.") }
        try check(finite: outputs)
        let (width, height) = (image?.width ?? manifest.width, image?.height ?? manifest.resolution)
        let fit = image.map(preprocessor.fit) ?? Fit(width: width, height: height, left: 0, top: 0)
        return try ConvNeXtEdge.objects(
            outputs, labels, firstLabel: manifest.firstLabel, threshold: threshold, width: width, height: height,
            fit: fit, inputWidth: manifest.width, inputHeight: manifest.resolution)
    }

    /// What the model sees of an image: (resolution, width, 3) bytes.
    public func prepare(_ image: RGBAImage) throws -> [UInt8] {
        return try preprocessor.prepare(image)
    }

    /// The values of the first output, such as the (classes) logits, for what `prepare` returned.
    public func infer(_ pixels: [UInt8]) throws -> [Float] {
        return try compute(pixels)[0].values
    }

    /// All outputs for what `prepare` returned.
    public func compute(_ pixels: [UInt8]) throws -> [Output] {
        do {
            let answer = try session.run(
                withInputs: [input: tensor(pixels)], outputNames: Set(outputs), runOptions: nil)
            return try zip(manifest.outputs, outputs).map { name, output in
                guard let made = answer[output] else {
                    throw ConvNeXtEdgeError.target("ONNX Runtime computed no \(output)\nBuild and embed it again.")
                }
                let info = try made.tensorTypeAndShapeInfo()
                let shape = info.shape.dropFirst().map { $0.intValue }
                let data = try made.tensorData() as Data
                let values = data.withUnsafeBytes { bytes in
                    info.elementType == .int64
                        ? bytes.bindMemory(to: Int64.self).map { Float($0) } : Array(bytes.bindMemory(to: Float.self))
                }
                return Output(name: name, shape: shape, values: values)
            }
        } catch let error as ConvNeXtEdgeError {
            throw error
        } catch {
            throw Model.failure("ONNX Runtime fails at \(engine)", error)
        }
    }

    private func checked(_ task: String, _ image: RGBAImage) throws -> [Output] {
        try check(task: task)
        let found = try run(image)
        try check(finite: found)
        return found
    }

    private func check(finite outputs: [Output]) throws {
        for output in outputs where !output.values.allSatisfy({ $0.isFinite }) {
            throw ConvNeXtEdgeError.target(
                "the \(output.name) of \(engine) are not finite\nValidate it: convnext-edge validate.")
        }
    }

    private func check(task call: String) throws {
        if task != call {
            throw ConvNeXtEdgeError.usage(
                "the task of \(engine) is \(task), not \(call)\nCall \(task)(), or run() for all outputs.")
        }
    }

    private func tensor(_ pixels: [UInt8]) throws -> ORTValue {
        let shape: [NSNumber] = [1, 3, NSNumber(value: manifest.resolution), NSNumber(value: manifest.width)]
        let bytes = manifest.takesBytes
            ? preprocessor.bytes(pixels).withUnsafeBytes { NSMutableData(data: Data($0)) }
            : preprocessor.floats(pixels).withUnsafeBytes { NSMutableData(data: Data($0)) }
        return try ORTValue(tensorData: bytes, elementType: manifest.takesBytes ? .uInt8 : .float, shape: shape)
    }

    private static func failure(_ what: String, _ error: Error) -> ConvNeXtEdgeError {
        return .target(
            "\(what): \(error.localizedDescription)\nTake a newer ONNX Runtime, or build the engine again.")
    }
}

/// The folder of a bundle's resources, which is not the bundle itself on every system.
public func resources(of bundle: Bundle) -> URL {
    return bundle.resourceURL ?? bundle.bundleURL
}

/// Another name of Model, for programs that classify.
public typealias Classifier = Model
