import Foundation
import XCTest

@testable import ConvNeXtEdge
import ConvNeXtEdgeSample

/// Python's own results, which came with the folder, against this library's.
final class PythonTests: XCTestCase {
    func testSquaresAreThoseOfPythonBitByBit() throws {
        let manifest = try Manifest.load(Model.bundledModel)
        let preprocessor = try Preprocessor(manifest)
        let cases = try readCases(squareBytes: 3 * manifest.resolution * manifest.width)
        XCTAssertGreaterThan(cases.count, 0)
        for (image, expected) in cases {
            XCTAssertEqual(try preprocessor.prepare(image), expected, "\(image.width)x\(image.height)")
        }
    }

    func testTheSampleIsAnsweredAsByPython() throws {
        let model = try Model(threads: 1)
        let found = try compared(model, model.run(Sample.picture()))
        let expected = try XCTUnwrap(Sample.expected())
        XCTAssertEqual(found.count, expected.count)
        XCTAssertGreaterThan(try cosine(found, expected), 0.99)
    }

    func testADamagedEngineIsRefused() throws {
        let copy = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.copyItem(at: Model.bundledModel, to: copy)
        defer { try? FileManager.default.removeItem(at: copy) }
        try Data("other".utf8).write(to: copy.appendingPathComponent(Manifest.load(copy).engine))
        XCTAssertThrowsError(try Model(folder: copy)) { error in
            XCTAssertTrue(error.localizedDescription.contains("does not match its sidecar"), "\(error)")
        }
    }

    /// squares.bin: width and height (32 bits, little endian), RGB bytes, then the square, over and over.
    private func readCases(squareBytes: Int) throws -> [(RGBAImage, [UInt8])] {
        let url = resources(of: .module).appendingPathComponent("squares.bin")
        var rest = [UInt8](try Data(contentsOf: url))[...]
        func take(_ count: Int) -> [UInt8] {
            defer { rest = rest.dropFirst(count) }
            return Array(rest.prefix(count))
        }
        func number() -> Int { take(4).reversed().reduce(0) { 256 * $0 + Int($1) } }
        var found: [(RGBAImage, [UInt8])] = []
        while !rest.isEmpty {
            let (width, height) = (number(), number())
            let rgb = take(3 * width * height)
            let rgba = (0..<(width * height)).flatMap { pixel -> [UInt8] in
                [rgb[3 * pixel], rgb[3 * pixel + 1], rgb[3 * pixel + 2], 7]
            }
            found.append((RGBAImage(rgba: rgba, width: width, height: height), take(squareBytes)))
        }
        return found
    }
}
