import Foundation

/// In pixels from the upper left corner.
public struct Box: Equatable, Sendable {
    public let left: Double
    public let top: Double
    public let right: Double
    public let bottom: Double
}

/// Which pixels of a rectangle of a picture are of an object; outside, none is.
public struct Mask: Equatable, Sendable {
    /// In pixels of the picture, as all of these.
    public let left: Int
    public let top: Int
    public let width: Int
    public let height: Int
    /// (height, width), row by row.
    public let inside: [Bool]
}

/// One object in a picture.
public struct DetectedObject: Sendable {
    /// Rows and columns of what the mask is drawn from, and the same with a border of zeros.
    fileprivate static let edge = 28
    fileprivate static let framed = edge + 2

    /// Position of its class among the model's.
    public let index: Int
    public let label: String
    /// How sure the model is, from 0 to 1.
    public let score: Float
    /// In pixels of the picture, within it.
    public let box: Box
    /// In pixels, as `pictureHeight`.
    public let pictureWidth: Int
    public let pictureHeight: Int
    /// The box before it was cut off at the edges: what the mask is over.
    let whole: Box
    /// How likely each part of that is of the object, row by row.
    let likely: [Float]

    /// Red, green and blue, as in the overlays of `convnext-edge predict`.
    public var color: [UInt8] { ConvNeXtEdge.color(of: 1 + index % 255) }

    /// The pixels of the picture that are of it with a likelihood of more than a half.
    public var mask: Mask {
        let across = Span(whole.left, whole.right, pictureWidth)
        let down = Span(whole.top, whole.bottom, pictureHeight)
        let (width, height) = (across.end - across.first, down.end - down.first)
        let rows = (0..<DetectedObject.framed).map { row in
            (0..<DetectedObject.framed).map { column in part(row - 1, column - 1) }
        }
        let below = (0..<height).map { Neighbours(down, down.first + $0) }
        var inside = [Bool](repeating: false, count: width * height)
        for x in 0..<width {
            let beside = Neighbours(across, across.first + x)
            let column = rows.map { beside.mean($0) }
            for y in 0..<height { inside[width * y + x] = below[y].mean(column) > 0.5 }
        }
        return Mask(left: across.first, top: down.first, width: width, height: height, inside: inside)
    }

    /// Zero in the border.
    private func part(_ row: Int, _ column: Int) -> Float {
        let parts = 0..<DetectedObject.edge
        return parts.contains(row) && parts.contains(column) ? likely[DetectedObject.edge * row + column] : 0
    }
}

/// What the model sees, as `Model.prepare` returned it, below the masks and boxes of the objects in that: (height, width, 3)
/// bytes.
public func over(_ pixels: [UInt8], width: Int, _ objects: [DetectedObject]) -> [UInt8] {
    var mixed = pixels.map { Float($0) }
    for found in objects.reversed() { cover(&mixed, width, found) }
    var drawn = mixed.map { UInt8($0.rounded(.toNearestOrEven)) }
    for found in objects.reversed() { outline(&drawn, width, found) }
    return drawn
}

private func cover(_ mixed: inout [Float], _ width: Int, _ found: DetectedObject) {
    let share = 0.4  // of the colour
    let mask = found.mask
    for i in mask.inside.indices where mask.inside[i] {
        let start = 3 * (width * (mask.top + i / mask.width) + mask.left + i % mask.width)
        for channel in 0..<3 {
            let kept = Float(1 - share) * mixed[start + channel]
            mixed[start + channel] = Float(Double(kept) + share * Double(found.color[channel]))
        }
    }
}

/// Draws the pixels of Pillow's `rectangle`.
private func outline(_ pixels: inout [UInt8], _ width: Int, _ found: DetectedObject) {
    let line = 2  // pixels
    let (left, top) = (Int(found.box.left), Int(found.box.top))
    let (right, bottom) = (Int(found.box.right), Int(found.box.bottom))
    // its lines leave their last pixel out, and those of a low box run upwards
    let (one, other) = (top + line, bottom - line + 1)
    let (start, end) = one < other ? (one, other - 1) : (other + 1, one)
    let sides = [
        (left, right, top, top + line - 1),
        (left, right, bottom - line + 1, bottom),
        (right - line + 1, right, start, end),
        (left, left + line - 1, start, end),
    ]
    let rows = pixels.count / (3 * width)
    for (first, last, high, low) in sides {
        for y in stride(from: max(high, 0), through: min(low, rows - 1), by: 1) {
            for x in stride(from: max(first, 0), through: min(last, width - 1), by: 1) {
                for channel in 0..<3 { pixels[3 * (width * y + x) + channel] = found.color[channel] }
            }
        }
    }
}

/// The objects whose score is higher than the threshold, the surest first.
///
/// outputs: boxes, labels, scores and masks. width, height: of a picture that lies in the input as `fit` says. Throws
/// `ConvNeXtEdgeError.target` for a label that is none of the model's, and for a box outside of its input.
func objects(
    _ outputs: [Output], _ labels: [String], firstLabel: Int, threshold: Float, width: Int, height: Int, fit: Fit,
    inputWidth: Int, inputHeight: Int
) throws -> [DetectedObject] {
    let (boxes, classes, scores, masks) = (outputs[0].values, outputs[1].values, outputs[2].values, outputs[3].values)
    let parts = DetectedObject.edge * DetectedObject.edge
    let none: Float = -1  // label of a place without a detection
    func along(_ place: Float, _ start: Int, _ edge: Int, _ resized: Int) -> Double {
        return (Double(place) - Double(start)) * (Double(edge) / Double(resized))
    }
    func within(_ place: Double, _ edge: Int) -> Double { return min(max(place, 0), Double(edge)) }
    return try classes.indices.filter { classes[$0] != none && scores[$0] > threshold }.compactMap { i -> DetectedObject? in
        guard let index = Int(exactly: classes[i]), index >= firstLabel, index < labels.count else {
            throw ConvNeXtEdgeError.target(
                "a label of the model is none of its \(labels.count) classes\n"
                    + "Validate the engine: convnext-edge validate.")
        }
        let most = [Float(inputWidth) + 1, Float(inputHeight) + 1]  // but for rounding
        guard (0..<4).allSatisfy({ boxes[4 * i + $0] >= -1 && boxes[4 * i + $0] <= most[$0 % 2] }) else {
            throw ConvNeXtEdgeError.target(
                "a box of the model lies outside of its input\nValidate the engine: convnext-edge validate.")
        }
        let x = { (place: Float) in along(place, fit.left, width, fit.width) }
        let y = { (place: Float) in along(place, fit.top, height, fit.height) }
        let whole = Box(
            left: x(boxes[4 * i]), top: y(boxes[4 * i + 1]), right: x(boxes[4 * i + 2]), bottom: y(boxes[4 * i + 3]))
        let box = Box(
            left: within(whole.left, width), top: within(whole.top, height), right: within(whole.right, width),
            bottom: within(whole.bottom, height))
        guard box.right > box.left, box.bottom > box.top else { return nil }  // in the padding
        return DetectedObject(
            index: index, label: labels[index], score: scores[i], box: box, pictureWidth: width,
            pictureHeight: height, whole: whole, likely: Array(masks[(parts * i)..<(parts * (i + 1))]))
    }
}

/// The pixels that a mask is drawn over along one axis, as torchvision's paste_masks_in_image has them: the box is as much
/// larger as the border makes the mask. Of these, those from `first` to `end` are in the picture, whose edge is given.
private struct Span {
    let begin: Int
    let first: Int
    let end: Int
    let scale: Float

    init(_ low: Double, _ high: Double, _ edge: Int) {
        let centre = (low + high) / 2
        let half = (high - low) / 2 * (Double(DetectedObject.framed) / Double(DetectedObject.edge))
        begin = Int(centre - half)
        let pixels = max(Int(centre + half) - begin + 1, 1)
        first = max(begin, 0)
        end = max(min(begin + pixels, edge), first)
        scale = Float(Double(DetectedObject.framed) / Double(pixels))
    }
}

/// The two parts of a mask that a pixel lies between, and the share of the second; in float32, as NumPy computes it.
private struct Neighbours {
    let one: Int
    let other: Int
    let share: Float

    init(_ span: Span, _ pixel: Int) {
        let place = max((Float(pixel - span.begin) + 0.5) * span.scale - 0.5, 0)
        one = Int(place)
        other = min(one + 1, DetectedObject.framed - 1)
        share = place - Float(one)
    }

    func mean(_ values: [Float]) -> Float {
        return values[one] * (1 - share) + values[other] * share
    }
}
