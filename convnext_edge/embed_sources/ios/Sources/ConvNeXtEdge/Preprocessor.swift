import Foundation

/// Resize, centre crop and normalization, as convnext_edge/images/transform.py does them in Python.
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
        if overflows || tooMany > Preprocessor.maxPixels {
            throw ConvNeXtEdgeError.image("\(image.width)x\(image.height) pixels are too elongated to resize")
        }
        let (rows, columns) = (manifest.resolution, manifest.width)
        let across = Taps(
            filter, source: image.width, target: width, first: Preprocessor.halfOf(width - columns), count: columns)
        let down = Taps(
            filter, source: image.height, target: height, first: Preprocessor.halfOf(height - rows), count: rows)
        let whole = Pixels(bytes: image.rgba, width: image.width, channels: 4)
        if Preprocessor.columnsFirst(image, width, height) {
            return resizeRows(resizeColumns(whole, across.range, down), 0..<rows, across).bytes
        }
        return resizeColumns(resizeRows(whole, down.range, across), 0..<columns, down).bytes
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
        if manifest.squash { return (manifest.width, manifest.resolution) }
        let short = Int((Double(manifest.resolution) / manifest.crop).rounded(.down))
        let wide = Int((Double(manifest.width) / manifest.crop).rounded(.down))
        if short != wide {  // timm's ResizeKeepRatio: the image covers both edges; halves go to the even number
            let ratio = min(Double(image.height) / Double(short), Double(image.width) / Double(wide))
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
