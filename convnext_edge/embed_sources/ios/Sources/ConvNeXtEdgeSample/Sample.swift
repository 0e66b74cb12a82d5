import ConvNeXtEdge
import Foundation

/// The picture that comes with the sample, and what Python answered to it.
public enum Sample {
    public static func picture() throws -> RGBAImage {
        return try RGBAImage(contentsOf: resources(of: .module).appendingPathComponent("picture.png"))
    }

    /// The numbers of the answer; nil where another picture took its place without them.
    public static func expected() -> [Float]? {
        let url = resources(of: .module).appendingPathComponent("picture.txt")
        guard let text = try? String(contentsOf: url, encoding: .utf8) else { return nil }
        return text.split(separator: "\n").compactMap { Float(String($0)) }
    }
}

/// What a model answers to an image, a line for each class, value or output.
public func describe(_ model: Model, _ image: RGBAImage, top: Int) throws -> [String] {
    switch model.task {
    case "classify":
        return try model.classify(image, topK: top).map(line)
    case "multilabel":
        return try model.multilabel(image).sorted { $0.probability > $1.probability }.prefix(top).map(line)
    case "regress":
        return try zip(model.regress(image), model.labels).map { "\($0)  \($1)" }
    case "segment":
        return try model.segment(image).shares.map { found in
            String(format: "%6.2f %%  %4d  %@", 100 * found.share, found.index, model.labels[found.index])
        }
    case "detect":
        let found = try model.detect(image)
        return found.isEmpty ? ["No objects."] : found.map(line)
    default:
        return try model.run(image).map { output in
            let named = output.name + " " + output.shape.map(String.init).joined(separator: "x")
            let first = output.values.prefix(top).map { "\($0)" }.joined(separator: " ")
            return output.shape.count > 1 ? named : "\(named): \(first) ..."
        }
    }
}

private func line(_ found: Prediction) -> String {
    return String(format: "%6.2f %%  %4d  %@", 100 * found.probability, found.index, found.label)
}

private func line(_ found: DetectedObject) -> String {
    return String(format: "%6.2f %%  %4d  %@", 100 * found.score, found.index, found.label)
}

/// What of a model's outputs is compared with Python's answer: the vector, or the last map where there is none; of a
/// segmenter the class of each pixel, of a detector the boxes.
public func compared(_ model: Model, _ outputs: [Output]) throws -> [Float] {
    if model.task == "segment" { return try model.labelMap(outputs[0].values).classes.map { Float($0) } }
    if model.task == "detect" { return outputs[0].values }
    return (outputs[0].shape.count == 1 ? outputs[0] : outputs[outputs.count - 1]).values
}

/// How an answer compares with that of Python, for a person: class or pixels, by the task, and SQNR in decibels.
public func compare(_ found: [Float], _ expected: [Float], task: String) -> String {
    if found.count != expected.count {
        return "Python answered with \(expected.count) numbers, not \(found.count)."
    }
    if found == expected { return "Identical to Python's answer." }
    if task == "segment" {
        let same = zip(found, expected).filter { $0.0 == $0.1 }.count
        return String(format: "%.3f %% of the pixels are of Python's class.", 100 * Double(same) / Double(found.count))
    }
    let signal = expected.reduce(0.0) { $0 + Double($1) * Double($1) }
    let noise = zip(found, expected).reduce(0.0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
    let sqnr = String(format: "%.1f dB SQNR", 10 * log10(signal / noise))
    if task != "classify" { return "\(sqnr) to Python's answer." }
    let isSame = found.firstIndex(of: found.max() ?? 0) == expected.firstIndex(of: expected.max() ?? 0)
    return isSame ? "The class is Python's, \(sqnr)." : "The class is NOT Python's, \(sqnr)."
}
