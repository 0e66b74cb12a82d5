// Resizing as Pillow does it (see "Filters" in its handbook, docs/handbook/concepts.rst): the kernel is stretched by
// the factor of reduction, evaluated in double precision at the centres of the source pixels and normalized to a sum
// of 1; weights are rounded to fixed point; rows and columns are resized in turn, with 8-bit samples in between.
// PyTorch resizes 8-bit tensors in the same way with fewer bits (aten/src/ATen/native/cpu/UpSampleKernel.cpp).

import Foundation

/// Bits behind a weight's point: 32, less 8 of a sample and 2 for what overshoots.
private let precision = 32 - 8 - 2
/// Bits of a weight of PyTorch's, beside the sign.
private let tensorBits = 15

private func sinc(_ x: Double) -> Double {
    return x == 0 ? 1 : sin(Double.pi * x) / (Double.pi * x)
}

/// Keys' cubic convolution with a = -0.5.
private func keysCubic(_ x: Double) -> Double {
    let a = -0.5
    let d = abs(x)
    if d < 1 { return ((a + 2) * d - (a + 3)) * d * d + 1 }
    if d < 2 { return (((d - 5) * d + 8) * d - 4) * a }
    return 0
}

/// A kernel as Pillow defines it.
enum Filter: String, CaseIterable {
    case bicubic
    case bilinear
    case box
    case hamming
    case lanczos
    case nearest

    /// Half width in (scaled) pixels.
    var support: Double {
        switch self {
        case .bicubic: return 2
        case .bilinear, .hamming: return 1
        case .box: return 0.5
        case .lanczos: return 3
        case .nearest: return 0
        }
    }

    /// Whether PyTorch resizes 8-bit tensors with it.
    var isOfTensors: Bool { self == .bicubic || self == .bilinear }

    /// Value at a distance in (scaled) pixels.
    func value(at x: Double) -> Double {
        switch self {
        case .bicubic: return keysCubic(x)
        case .bilinear: return max(0, 1 - abs(x))
        case .box: return x > -0.5 && x <= 0.5 ? 1 : 0
        case .hamming: return abs(x) < 1 ? sinc(x) * (0.54 + 0.46 * cos(Double.pi * x)) : 0
        case .lanczos: return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0
        case .nearest: return 1  // of one pixel, whose place is found in another way
        }
    }

    /// The kernel of that name. Throws `ConvNeXtEdgeError.artifact`.
    static func named(_ name: String) throws -> Filter {
        if let found = Filter(rawValue: name) { return found }
        let known = allCases.map { $0.rawValue }.joined(separator: ", ")
        throw ConvNeXtEdgeError.artifact("interpolation '\(name)' is not known\nKnown: \(known).")
    }
}

/// A resize along one axis. ofTensors: whether weights have 16 bits, as PyTorch's.
struct Axis {
    let source: Int
    let target: Int
    let ofTensors: Bool
    var scale: Double { Double(source) / Double(target) }
}

/// Along one axis: which source pixels make an output pixel, and how much of each, in fixed point.
struct Taps {
    let count: Int
    private let bits: Int  // behind the point of a weight
    private let width: Int  // most weights of an output
    private var begins: [Int]
    private var ends: [Int]
    private var weights: [Int]

    /// For some outputs of a resize.
    init(_ filter: Filter, _ axis: Axis, _ outputs: Range<Int>) {
        count = outputs.count
        width = 2 * Int((filter.support * max(axis.scale, 1)).rounded(.up)) + 1
        bits = axis.ofTensors && filter.isOfTensors ? Taps.bits(for: Taps.largest(filter, axis)) : precision
        begins = Array(repeating: 0, count: count)
        ends = Array(repeating: 0, count: count)
        weights = Array(repeating: 0, count: count * width)
        if filter == .nearest {
            computeNearest(axis, outputs)
        } else {
            for output in outputs { round(Taps.exact(filter, axis, output), output - outputs.lowerBound) }
        }
    }

    /// What a sum of weighted samples begins with, so that it is rounded.
    var half: Int { 1 << bits >> 1 }

    /// A fixed-point sum, which began with `half`, as a sample.
    func sample(_ sum: Int) -> UInt8 { UInt8(min(max(sum >> bits, 0), 255)) }

    /// The source pixels of the outputs from the first to the last.
    var range: Range<Int> { begins[0]..<ends[count - 1] }

    func range(of output: Int) -> Range<Int> { begins[output]..<ends[output] }

    func weight(of output: Int, at pixel: Int) -> Int { weights[width * output + pixel - begins[output]] }

    /// The first source pixel of an output, and how much of each from there on.
    private static func exact(_ filter: Filter, _ axis: Axis, _ output: Int) -> (begin: Int, values: [Double]) {
        let stretch = max(axis.scale, 1)
        let centre = (Double(output) + 0.5) * axis.scale
        let support = filter.support * stretch
        let inverse = 1 / stretch
        let begin = max(Int(centre - support + 0.5), 0)
        let end = max(min(Int(centre + support + 0.5), axis.source), begin)
        let exact = (0..<(end - begin)).map { filter.value(at: (Double($0) + Double(begin) - centre + 0.5) * inverse) }
        let sum = exact.reduce(0, +)
        return (begin, sum != 0 ? exact.map { $0 / sum } : exact)
    }

    /// The largest weight of all outputs of an axis.
    private static func largest(_ filter: Filter, _ axis: Axis) -> Double {
        return (0..<axis.target).reduce(0) { max($0, exact(filter, axis, $1).values.max() ?? 0) }
    }

    /// As many bits as let the largest weight fit into 16, with its sign.
    private static func bits(for largest: Double) -> Int {
        let isTooWide = { (bits: Int) in Int(0.5 + largest * Double(1 << (bits + 1))) >= 1 << tensorBits }
        return (0..<precision).first(where: isTooWide) ?? precision
    }

    private mutating func round(_ found: (begin: Int, values: [Double]), _ output: Int) {
        for (index, value) in found.values.enumerated() {
            let weight = value * Double(1 << bits)
            weights[width * output + index] = Int(weight < 0 ? weight - 0.5 : weight + 0.5)
        }
        begins[output] = found.begin
        ends[output] = found.begin + found.values.count
    }

    /// Adds the scale up from output to output, as Pillow does, whose rounding shows where a middle is an edge.
    private mutating func computeNearest(_ axis: Axis, _ outputs: Range<Int>) {
        var place = axis.scale * 0.5
        for output in 0..<outputs.upperBound {
            if output >= outputs.lowerBound {
                round((min(Int(place), axis.source - 1), [1]), output - outputs.lowerBound)
            }
            place += axis.scale
        }
    }
}

/// A part of an image: rows of `width` pixels of `channels` bytes, of which the first three count.
/// `left`, `top`: which pixel of the image the first one is.
struct Pixels {
    let bytes: [UInt8]
    let width: Int
    let channels: Int
    var left = 0
    var top = 0
}

/// Resizes some rows (of the image) to `taps.count` pixels each.
func resizeRows(_ source: Pixels, _ rows: Range<Int>, _ taps: Taps) -> Pixels {
    var made: [UInt8] = []
    made.reserveCapacity(rows.count * taps.count * 3)
    for y in rows {
        let start = (y - source.top) * source.width - source.left
        for x in 0..<taps.count {
            var (red, green, blue) = (taps.half, taps.half, taps.half)
            for pixel in taps.range(of: x) {
                let weight = taps.weight(of: x, at: pixel)
                let at = (start + pixel) * source.channels
                red += weight * Int(source.bytes[at])
                green += weight * Int(source.bytes[at + 1])
                blue += weight * Int(source.bytes[at + 2])
            }
            made.append(taps.sample(red))
            made.append(taps.sample(green))
            made.append(taps.sample(blue))
        }
    }
    return Pixels(bytes: made, width: taps.count, channels: 3, left: 0, top: rows.lowerBound)
}

/// Resizes some columns (of the image) to `taps.count` pixels each.
func resizeColumns(_ source: Pixels, _ columns: Range<Int>, _ taps: Taps) -> Pixels {
    var made: [UInt8] = []
    made.reserveCapacity(taps.count * columns.count * 3)
    for y in 0..<taps.count {
        var sums = Array(repeating: taps.half, count: 3 * columns.count)
        for row in taps.range(of: y) {
            let weight = taps.weight(of: y, at: row)
            var at = ((row - source.top) * source.width + columns.lowerBound - source.left) * source.channels
            for x in 0..<columns.count {
                sums[3 * x] += weight * Int(source.bytes[at])
                sums[3 * x + 1] += weight * Int(source.bytes[at + 1])
                sums[3 * x + 2] += weight * Int(source.bytes[at + 2])
                at += source.channels
            }
        }
        made.append(contentsOf: sums.map(taps.sample))
    }
    return Pixels(bytes: made, width: columns.count, channels: 3, left: columns.lowerBound, top: 0)
}
