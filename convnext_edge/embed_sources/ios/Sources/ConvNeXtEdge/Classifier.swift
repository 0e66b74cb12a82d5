import Foundation
import OnnxRuntimeBindings

/// Classifies images with the engine that `convnext-edge embed` put into a folder.
///
///     let classifier = try Classifier()
///     for found in try classifier.classify(RGBAImage(contentsOf: url), topK: 5) { print(found) }
///
/// Images are resized, cropped and normalized exactly as `convnext-edge validate` does it, so the accuracy that was
/// validated is the accuracy that an application gets. All members may be called from several threads at once.
public final class Classifier: @unchecked Sendable {
    public let labels: [String]
    /// File name of the engine.
    public let engine: String
    /// What runs it: "onnxruntime".
    public let runtime: String
    /// Of the ONNX Runtime that is loaded.
    public let runtimeVersion: String

    // More than any device has cores; the runtime starts as many as it is told.
    private static let maxThreads = 1024

    private let manifest: Manifest
    private let preprocessor: Preprocessor
    private let environment: ORTEnv  // has to outlive the session
    private let session: ORTSession
    private let input: String
    private let output: String

    /// The folder that comes with this package.
    public static var bundledModel: URL { resources(of: .module).appendingPathComponent("model") }

    /// Loads the engine in `folder` after checking the SHA-256 of each file.
    ///
    /// threads: that one call may use; 0 leaves it to the runtime. Throws `ConvNeXtEdgeError`.
    public init(folder: URL = Classifier.bundledModel, threads: Int = 0) throws {
        if !(0...Classifier.maxThreads).contains(threads) {
            throw ConvNeXtEdgeError.usage(
                "threads \(threads) is out of range\n"
                    + "Give a whole number from 1 to \(Classifier.maxThreads), or 0 for all cores.")
        }
        let manifest = try Manifest.load(folder)
        self.manifest = manifest
        labels = try manifest.labels(folder)
        preprocessor = try Preprocessor(manifest)
        engine = manifest.engine
        runtime = manifest.runtime
        runtimeVersion = ORTVersion() ?? "unknown"
        do {
            environment = try ORTEnv(loggingLevel: .error)
            let options = try ORTSessionOptions()
            if threads > 0 { try options.setIntraOpNumThreads(Int32(threads)) }
            let path = folder.appendingPathComponent(manifest.engine).path
            session = try ORTSession(env: environment, modelPath: path, sessionOptions: options)
            input = try session.inputNames()[0]
            output = try session.outputNames()[0]
        } catch {
            throw Classifier.failure("ONNX Runtime refuses \(manifest.engine)", error)
        }
    }

    /// The `topK` likeliest classes, best first. Throws `ConvNeXtEdgeError`.
    public func classify(_ image: RGBAImage, topK: Int = 1) throws -> [Prediction] {
        return try rank(infer(prepare(image)), labels, topK)
    }

    /// The square of an image that the model sees: (resolution, resolution, 3) bytes.
    public func prepare(_ image: RGBAImage) throws -> [UInt8] {
        return try preprocessor.square(image)
    }

    /// The (classes) logits for a square.
    public func infer(_ square: [UInt8]) throws -> [Float] {
        do {
            let answer = try session.run(withInputs: [input: tensor(square)], outputNames: [output], runOptions: nil)
            guard let logits = answer[output] else { return [] }
            let data = try logits.tensorData() as Data
            return data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        } catch {
            throw Classifier.failure("ONNX Runtime fails at \(engine)", error)
        }
    }

    private func tensor(_ square: [UInt8]) throws -> ORTValue {
        let edge = NSNumber(value: manifest.resolution)
        let shape: [NSNumber] = [1, 3, edge, edge]
        let bytes = manifest.takesBytes
            ? preprocessor.bytes(square).withUnsafeBytes { NSMutableData(data: Data($0)) }
            : preprocessor.floats(square).withUnsafeBytes { NSMutableData(data: Data($0)) }
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
