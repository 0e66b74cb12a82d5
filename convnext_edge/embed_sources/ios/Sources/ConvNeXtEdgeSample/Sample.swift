import ConvNeXtEdge
import Foundation

/// The picture that comes with the sample, and what Python answered to it.
public enum Sample {
    public static func picture() throws -> RGBAImage {
        return try RGBAImage(contentsOf: resources(of: .module).appendingPathComponent("picture.png"))
    }

    /// Logits; nil where another picture took its place without them.
    public static func expected() -> [Float]? {
        let url = resources(of: .module).appendingPathComponent("picture.txt")
        guard let text = try? String(contentsOf: url, encoding: .utf8) else { return nil }
        return text.split(separator: "\n").compactMap { Float(String($0)) }
    }
}

/// How `logits` compare with those of Python, for a person: the class, and SQNR in decibels.
public func compare(_ logits: [Float], _ expected: [Float]) -> String {
    if logits.count != expected.count {
        return "Python answered with \(expected.count) logits, not \(logits.count)."
    }
    if logits == expected { return "Identical to Python's answer." }
    let signal = expected.reduce(0.0) { $0 + Double($1) * Double($1) }
    let noise = zip(logits, expected).reduce(0.0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
    let sqnr = String(format: "%.1f dB SQNR", 10 * log10(signal / noise))
    let isSame = logits.firstIndex(of: logits.max() ?? 0) == expected.firstIndex(of: expected.max() ?? 0)
    return isSame ? "The class is Python's, \(sqnr)." : "The class is NOT Python's, \(sqnr)."
}
