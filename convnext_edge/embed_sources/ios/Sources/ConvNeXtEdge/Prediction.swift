import Foundation

/// One class of an answer.
public struct Prediction: Equatable {
    /// Position among the model's classes.
    public let index: Int
    public let label: String
    /// What the model computed.
    public let logit: Float
    /// Softmax over all classes; of multilabel the sigmoid of its own logit.
    public let probability: Double
}

/// The `topK` likeliest classes, best first (the lower index first among equals).
func rank(_ logits: [Float], _ labels: [String], _ topK: Int) throws -> [Prediction] {
    if topK < 1 { throw ConvNeXtEdgeError.usage("topK \(topK) is less than 1\nGive a whole number from 1.") }
    try check(logits, labels)
    let order = logits.indices.sorted { logits[$0] > logits[$1] || (logits[$0] == logits[$1] && $0 < $1) }
    let largest = Double(logits[order[0]])
    let powers = logits.map { exp(Double($0) - largest) }
    let sum = powers.reduce(0, +)
    return order.prefix(topK).map {
        Prediction(index: $0, label: labels[$0], logit: logits[$0], probability: powers[$0] / sum)
    }
}

/// All labels in their order, each with a probability of its own.
func judge(_ logits: [Float], _ labels: [String]) throws -> [Prediction] {
    try check(logits, labels)
    return logits.indices.map {
        let probability = 1 / (1 + exp(-Double(logits[$0])))
        return Prediction(index: $0, label: labels[$0], logit: logits[$0], probability: probability)
    }
}

private func check(_ logits: [Float], _ labels: [String]) throws {
    if logits.count != labels.count || !logits.allSatisfy({ $0.isFinite }) {
        throw ConvNeXtEdgeError.target(
            "the \(logits.count) logits are not \(labels.count) finite numbers\n"
                + "Validate the engine: convnext-edge validate.")
    }
}
