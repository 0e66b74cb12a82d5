import Foundation

/// What this library throws on purpose: what failed and why, and on a second line what to do.
public enum ConvNeXtEdgeError: Error, Equatable {
    /// A file of the model is missing, damaged, or not what its sidecar says.
    case artifact(String)
    /// An image that cannot be opened or classified.
    case image(String)
    /// The runtime refuses the engine, or fails while it runs.
    case target(String)
    /// A call that contradicts what is documented.
    case usage(String)

    public var message: String {
        switch self {
        case .artifact(let text), .image(let text), .target(let text), .usage(let text): return text
        }
    }
}

extension ConvNeXtEdgeError: LocalizedError {
    public var errorDescription: String? { message }
}
