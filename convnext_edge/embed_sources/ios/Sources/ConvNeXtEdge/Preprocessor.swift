import Foundation

/// Where an image lies in the input: its size there before the crop, and the place of its upper left corner.
struct Fit {
    let width: Int
    let height: Int
    let left: Int
    let top: Int
}

/// Resize, padding, centre crop and normalization, as convnext_edge/images/transform.py does them in Python.
struct Preprocessor {
    private static let maxPixels = (1 << 30) / 12  // MAX_PIXELS of images/decoding.py

    private let manifest: Manifest
    private let filter: Filter
    private let normalized: [Float]  // (3, 256)

    init(_ manifest: Manifest) throws {
        self.manifest = manifest
        filter = try Filter.named(manifest.interpolation)
        // (value / 255 - mean) / std by channel, in float32 as NumPy computes it
        normalized = (0..<3).flatMap { channel -> [Float] in
            (0..<256).map { value in
                (Float(value) / 255 - Float(manifest.mean[channel])) / Float(manifest.std[channel])
            }
        }
    }

    /// What the model sees: (resolution, width, 3) bytes. Throws `ConvNeXtEdgeError.image`.
    func prepare(_ image: RGBAImage) throws -> [UInt8] {
        try check(image)
        let (width, height) = resized(image)
        let (tooMany, overflows) = width.multipliedReportingOverflow(by: height)
        if overflows || tooMany > Preprocessor.maxPixels || min(width, height) < 1 {
            throw ConvNeXtEdgeError.image("\(image.width)x\(image.height) pixels are too elongated to resize")
        }
        let (inRow, inColumn) = (overlap(width, manifest.width), overlap(height, manifest.resolution))
        let ofTensors = manifest.way.ofTensors
        let across = Taps(filter, Axis(source: image.width, target: width, ofTensors: ofTensors), inRow.resized)
        let down = Taps(filter, Axis(source: image.height, target: height, ofTensors: ofTensors), inColumn.resized)
        let whole = Pixels(bytes: image.rgba, width: image.width, channels: 4)
        let made =
            !ofTensors && Preprocessor.columnsFirst(image, width, height)
            ? resizeRows(resizeColumns(whole, across.range, down), 0..<down.count, across)
            : resizeColumns(resizeRows(whole, down.range, across), 0..<across.count, down)
        return pad(made.bytes, inRow, inColumn)
    }

    /// Where the resized image and the input overlap along one axis: pixels of the former, and the first of the latter.
    private struct Overlap {
        let resized: Range<Int>
        let place: Int
    }

    private func overlap(_ resized: Int, _ edge: Int) -> Overlap {
        let corner = manifest.way.mode == .corner
        if resized < edge { return Overlap(resized: 0..<resized, place: corner ? 0 : (edge - resized) / 2) }
        if corner { return Overlap(resized: 0..<edge, place: 0) }
        let first = manifest.way.roundDown ? (resized - edge) / 2 : Preprocessor.halfOf(resized - edge)
        return Overlap(resized: first..<(first + edge), place: 0)
    }

    /// Where an image lies in the input.
    func fit(_ image: RGBAImage) -> Fit {
        let (width, height) = resized(image)
        let (inRow, inColumn) = (overlap(width, manifest.width), overlap(height, manifest.resolution))
        let (left, top) = (inRow.place - inRow.resized.lowerBound, inColumn.place - inColumn.resized.lowerBound)
        return Fit(width: width, height: height, left: left, top: top)
    }

    /// Lays (rows of `down`, columns of `across`, 3) bytes into an image of the input's size.
    private func pad(_ pixels: [UInt8], _ across: Overlap, _ down: Overlap) -> [UInt8] {
        let (columns, rows) = (across.resized.count, down.resized.count)
        if columns == manifest.width && rows == manifest.resolution { return pixels }
        var padded = (0..<(3 * manifest.width * manifest.resolution)).map { UInt8(manifest.way.padColor[$0 % 3]) }
        for y in 0..<rows {
            let start = 3 * (manifest.width * (down.place + y) + across.place)
            let row = pixels[(3 * columns * y)..<(3 * columns * (y + 1))]
            padded.replaceSubrange(start..<(start + row.count), with: row)
        }
        return padded
    }

    /// What `prepare` returned as planes of red, green and blue, normalized: (3, resolution, width).
    func floats(_ pixels: [UInt8]) -> [Float] {
        let plane = pixels.count / 3
        return (0..<pixels.count).map { index in
            let channel = index / plane
            return normalized[256 * channel + Int(pixels[3 * (index % plane) + channel])]
        }
    }

    /// The same as raw bytes.
    func bytes(_ pixels: [UInt8]) -> [UInt8] {
        let plane = pixels.count / 3
        return (0..<pixels.count).map { pixels[3 * ($0 % plane) + $0 / plane] }
    }

    private func check(_ image: RGBAImage) throws {
        let size = "\(image.width)x\(image.height)"
        if image.width < 1 || image.height < 1 {
            throw ConvNeXtEdgeError.image("an image of \(size) pixels has none\nGive width and height from 1.")
        }
        let (pixels, overflows) = image.width.multipliedReportingOverflow(by: image.height)
        if overflows || pixels > Preprocessor.maxPixels {
            throw ConvNeXtEdgeError.image(
                "\(size) pixels, more than \(Preprocessor.maxPixels) in all\nMake it smaller.")
        }
        if image.rgba.count != 4 * pixels {
            throw ConvNeXtEdgeError.image(
                "\(image.rgba.count) bytes are given, \(size) pixels need \(4 * pixels)\nGive RGBA.")
        }
    }

    /// Size before the crop.
    private func resized(_ image: RGBAImage) -> (Int, Int) {
        let way = manifest.way
        let before = { (edge: Int) in way.resize ?? Int((Double(edge) / way.crop).rounded(.down)) }
        let (short, wide) = (before(manifest.resolution), before(manifest.width))
        if way.mode == .squash { return (wide, short) }
        let inside = way.mode == .pad || way.mode == .corner
        if inside || short != wide {
            // timm's ResizeKeepRatio: the image lies within both edges, or covers them; halves go to the even number
            let (down, across) = (Double(image.height) / Double(short), Double(image.width) / Double(wide))
            let ratio = inside ? max(down, across) : min(down, across)
            let scaled = { (edge: Int) in Int((Double(edge) / ratio).rounded(.toNearestOrEven)) }
            return (scaled(image.width), scaled(image.height))
        }
        func scaled(_ longer: Int, _ shorter: Int) -> Int { Int(Double(short * longer) / Double(shorter)) }
        if image.width <= image.height { return (short, scaled(image.height, image.width)) }
        return (scaled(image.width, image.height), short)
    }

    /// Whether Pillow resizes the columns before the rows, which changes the rounding in between: since version 13,
    /// where the height shrinks by more than twice as many pixels as the width (pull request 9549; found by
    /// experiment).
    private static func columnsFirst(_ image: RGBAImage, _ width: Int, _ height: Int) -> Bool {
        return image.height > height && image.height - height > 2 * max(image.width - width, 0)
    }

    /// Half of a margin, with halves rounded to the even number, as Python's round() does.
    private static func halfOf(_ margin: Int) -> Int {
        return Int((Double(margin) / 2).rounded(.toNearestOrEven))
    }
}
