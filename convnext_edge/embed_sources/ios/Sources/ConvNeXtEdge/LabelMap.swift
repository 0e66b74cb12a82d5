import Foundation

/// The class of each pixel of an image, in the size that the model sees.
public struct LabelMap: Equatable, Sendable {
    /// In pixels, as `height`.
    public let width: Int
    public let height: Int
    /// (height, width) positions among the model's classes, row by row.
    public let classes: [Int]

    /// The class with the largest logit of each pixel, the lower one among equals. logits: (classes, height, width).
    init(logits: [Float], width: Int, height: Int) {
        let pixels = width * height
        var largest = Array(logits.prefix(pixels))
        var found = [Int](repeating: 0, count: pixels)
        for index in 1..<max(1, logits.count / pixels) {
            for pixel in 0..<pixels where logits[index * pixels + pixel] > largest[pixel] {
                largest[pixel] = logits[index * pixels + pixel]
                found[pixel] = index
            }
        }
        self.width = width
        self.height = height
        classes = found
    }

    /// The classes that pixels have, each with its share of them, from 0 to 1, the largest first.
    public var shares: [(index: Int, share: Double)] {
        let counts = Dictionary(grouping: classes, by: { $0 }).mapValues { $0.count }
        return counts.map { (index: $0.key, share: Double($0.value) / Double(classes.count)) }
            .sorted { $0.share > $1.share || ($0.share == $1.share && $0.index < $1.index) }
    }

    /// What the model sees, as `Model.prepare` returned it, below the colours of its classes: (height, width, 3) bytes.
    public func over(_ pixels: [UInt8]) -> [UInt8] {
        return pixels.indices.map { mean(pixels[$0], color(of: classes[$0 / 3])[$0 % 3]) }
    }
}

/// Red, green and blue of a class, as in the files of `convnext-edge predict --maps`.
///
/// Source: VOClabelcolormap of the VOC development kit (Everingham et al., 2010): the bits of the number, spread out.
public func color(of index: Int) -> [UInt8] {
    return (0..<3).map { channel in
        (0..<8).reduce(UInt8(0)) { made, bit in made | UInt8(index >> (3 * bit + channel) & 1) << UInt8(7 - bit) }
    }
}

/// Of two bytes; of a half, the even one, as NumPy rounds.
private func mean(_ a: UInt8, _ b: UInt8) -> UInt8 {
    let sum = Int(a) + Int(b)
    return UInt8(sum / 2 + (sum & (sum / 2) & 1))
}
