import CoreGraphics
import Foundation
import ImageIO

/// 8-bit RGBA pixels by rows; alpha is left out of account.
public struct RGBAImage {
    public let rgba: [UInt8]
    public let width: Int
    public let height: Int

    public init(rgba: [UInt8], width: Int, height: Int) {
        self.rgba = rgba
        self.width = width
        self.height = height
    }

    /// Opens a picture.
    ///
    /// upright: whether it is turned as its EXIF orientation says, which `Model.upright` tells; otherwise it is taken
    /// as it is stored. Throws `ConvNeXtEdgeError.image`.
    public init(contentsOf url: URL, upright: Bool = false) throws {
        guard let source = CGImageSourceCreateWithURL(url as CFURL, nil),
            let decoded = CGImageSourceCreateImageAtIndex(source, 0, nil)
        else {
            throw ConvNeXtEdgeError.image("\(url.path) is no picture that can be opened\nTake a PNG or JPEG.")
        }
        let properties = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [CFString: Any]
        let orientation = properties?[kCGImagePropertyOrientation] as? Int ?? 1
        let stored = try RGBAImage(decoded)
        self = upright ? stored.turned(orientation) : stored
    }

    /// The picture as a person sees it. orientation: how its camera stored it, from 1 to 8 as EXIF counts.
    func turned(_ orientation: Int) -> RGBAImage {
        guard (2...8).contains(orientation) else { return self }
        let isAcross = orientation >= 5  // rows become columns
        let (columns, rows) = isAcross ? (height, width) : (width, height)
        let mirrorsX = [2, 3, 7, 8].contains(orientation)  // of what was stored
        let mirrorsY = [3, 4, 6, 7].contains(orientation)
        var made = [UInt8](repeating: 0, count: rgba.count)
        for y in 0..<rows {
            for x in 0..<columns {
                let (storedX, storedY) = isAcross ? (y, x) : (x, y)
                let column = mirrorsX ? width - 1 - storedX : storedX
                let row = mirrorsY ? height - 1 - storedY : storedY
                for channel in 0..<4 {
                    made[4 * (columns * y + x) + channel] = rgba[4 * (width * row + column) + channel]
                }
            }
        }
        return RGBAImage(rgba: made, width: columns, height: rows)
    }

    /// The pixels of a decoded picture: as they are where they come as RGB, else drawn in sRGB on black.
    public init(_ decoded: CGImage) throws {
        let stored = RGBAImage.stored(decoded)
        guard let bytes = stored ?? RGBAImage.drawn(decoded) else {
            let size = "\(decoded.width)x\(decoded.height)"
            throw ConvNeXtEdgeError.image("the pixels of a \(size) image cannot be read\nMake it smaller.")
        }
        self.init(rgba: bytes, width: decoded.width, height: decoded.height)
    }

    /// Bytes in the order R, G, B(, A), neither blended with alpha nor bent to another colour space.
    private static func stored(_ decoded: CGImage) -> [UInt8]? {
        let channels = decoded.bitsPerPixel / 8
        let order = decoded.bitmapInfo.intersection(.byteOrderMask)
        let isRGB = decoded.colorSpace?.model == .rgb && decoded.bitsPerComponent == 8
        let straight: [CGImageAlphaInfo] = [.none, .last, .noneSkipLast]
        let isInOrder = order.isEmpty || order == .byteOrder32Big
        guard isRGB, straight.contains(decoded.alphaInfo), isInOrder, channels == 3 || channels == 4,
            let data = decoded.dataProvider?.data as Data?,
            data.count >= decoded.bytesPerRow * (decoded.height - 1) + channels * decoded.width
        else { return nil }
        var made = [UInt8](repeating: 255, count: 4 * decoded.width * decoded.height)
        for y in 0..<decoded.height {
            for x in 0..<decoded.width {
                let from = y * decoded.bytesPerRow + channels * x
                let to = 4 * (y * decoded.width + x)
                for channel in 0..<3 { made[to + channel] = data[data.startIndex + from + channel] }
            }
        }
        return made
    }

    private static func drawn(_ decoded: CGImage) -> [UInt8]? {
        var made = [UInt8](repeating: 0, count: 4 * decoded.width * decoded.height)
        let area = CGRect(x: 0, y: 0, width: decoded.width, height: decoded.height)
        let isDrawn = made.withUnsafeMutableBytes { buffer -> Bool in
            guard let space = CGColorSpace(name: CGColorSpace.sRGB),
                let context = CGContext(
                    data: buffer.baseAddress, width: decoded.width, height: decoded.height, bitsPerComponent: 8,
                    bytesPerRow: 4 * decoded.width, space: space,
                    bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
            else { return false }
            context.draw(decoded, in: area)
            return true
        }
        return isDrawn ? made : nil
    }
}
