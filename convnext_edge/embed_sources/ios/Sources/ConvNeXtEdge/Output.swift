import Foundation

/// One output of the model for an image.
public struct Output: Equatable, Sendable {
    /// "logits", "values", "embedding", "map", or "map0" for that of stage 0.
    public let name: String
    /// (numbers) of a vector; (channels, rows, columns) of a map.
    public let shape: [Int]
    /// The last axis fastest.
    public let values: [Float]
}

/// Cosine of the angle between two embeddings of a model: 1 where they point in the same direction, -1 where in
/// opposite ones. Throws `ConvNeXtEdgeError.usage` for vectors of different lengths, or one that is zero.
public func cosine(_ a: [Float], _ b: [Float]) throws -> Double {
    if a.count != b.count {
        throw ConvNeXtEdgeError.usage(
            "embeddings of \(a.count) and \(b.count) numbers are not of one model\nCompare those of the same model.")
    }
    let lengths = (product(a, a) * product(b, b)).squareRoot()
    if !(lengths > 0) {
        throw ConvNeXtEdgeError.usage("an embedding of zeros has no direction\nGive what embed() returned.")
    }
    return product(a, b) / lengths
}

private func product(_ a: [Float], _ b: [Float]) -> Double {
    return zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
}
