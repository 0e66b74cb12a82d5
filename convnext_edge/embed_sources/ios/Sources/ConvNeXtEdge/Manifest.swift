import CryptoKit
import Foundation

/// What `convnext-edge embed` says of the engine: convnext_edge.txt, lines of a key and a value.
struct Manifest {
    static let name = "convnext_edge.txt"
    static let labelsName = "labels.txt"
    private static let format = "1"
    private static let onlyRuntime = "onnxruntime"
    private static let maxBytes = 1 << 20  // of the manifest; usual are up to 2 KiB
    private static let again = "Make the folder again: convnext-edge embed."

    let engine: String
    let runtime: String
    let takesBytes: Bool
    let resolution: Int
    let crop: Double
    let interpolation: String
    let mean: [Double]
    let std: [Double]
    let classes: Int
    /// SHA-256 by name.
    let files: [String: String]

    /// Throws `ConvNeXtEdgeError.artifact`, or `.target` for an engine of another runtime.
    init(_ text: String) throws {
        let reader = try Reader(text)
        let found = try reader.text("format")
        if found != Manifest.format {
            throw ConvNeXtEdgeError.artifact(
                "\(Manifest.name) has format \(found), this version reads \(Manifest.format)\n"
                    + "Embed again with the version of these sources.")
        }
        engine = try reader.text("engine")
        runtime = try reader.text("runtime")
        takesBytes = try reader.text("input") == "uint8"
        resolution = try reader.values("resolution", 1, Int.init)[0]
        crop = try reader.values("crop", 1, Double.init)[0]
        interpolation = try reader.text("interpolation")
        mean = try reader.values("mean", 3, Double.init)
        std = try reader.values("std", 3, Double.init)
        classes = try reader.values("classes", 1, Int.init)[0]
        files = try reader.files()
        try check()
    }

    private func check() throws {
        let sizes = (1...(1 << 14)).contains(resolution) && (1...(1 << 24)).contains(classes)
        if !sizes || !(crop <= 1 && crop * Double(1 << 30) >= Double(resolution)) {
            throw Manifest.damaged("resolution, crop or classes are out of range")
        }
        if !mean.allSatisfy({ (0...1).contains($0) }) || !std.allSatisfy({ $0 > 0 && $0 <= 1 }) {
            throw Manifest.damaged("mean or std are out of range")
        }
        for name in [engine, Manifest.labelsName] where files[name] == nil {
            throw Manifest.damaged("it has no digest of \(name)")
        }
        if runtime != Manifest.onlyRuntime {
            throw ConvNeXtEdgeError.target(
                "\(engine) is an engine for \(runtime), this library is for ONNX Runtime\n"
                    + "Build one: convnext-edge build --target \(Manifest.onlyRuntime)")
        }
    }

    /// The manifest of a folder, after the digest of each file that it lists was checked.
    static func load(_ folder: URL) throws -> Manifest {
        let text = try read(folder, name)
        if text.count > maxBytes { throw damaged("it has more than \(maxBytes) bytes") }
        let manifest = try Manifest(String(decoding: text, as: UTF8.self))
        for (file, expected) in manifest.files {
            let digest = SHA256.hash(data: try read(folder, file))
            let found = digest.map { String(format: "%02x", $0) }.joined()
            if found != expected {
                throw ConvNeXtEdgeError.artifact(
                    "\(file) does not match its sidecar: sha256 \(found.prefix(12))… instead of "
                        + "\(expected.prefix(12))…\nThe file was changed after it was made; make it again.")
            }
        }
        return manifest
    }

    func labels(_ folder: URL) throws -> [String] {
        let text = String(decoding: try Manifest.read(folder, Manifest.labelsName), as: UTF8.self)
        let found = Reader.lines(text)
        if found.count != classes {
            throw ConvNeXtEdgeError.artifact(
                "\(Manifest.labelsName) has \(found.count) labels for \(classes) classes\n\(Manifest.again)")
        }
        return found
    }

    private static func read(_ folder: URL, _ file: String) throws -> Data {
        do {
            return try Data(contentsOf: folder.appendingPathComponent(file), options: .mappedIfSafe)
        } catch {
            throw ConvNeXtEdgeError.artifact(
                "\(file) cannot be read: \(error.localizedDescription)\nTake the folder model over as a whole.")
        }
    }

    fileprivate static func damaged(_ why: String) -> ConvNeXtEdgeError {
        return .artifact("\(name) is damaged: \(why)\n\(again)")
    }
}

/// Keys and values of a text.
private struct Reader {
    private static let file = "file"  // the one key that may come again
    private static let maxName = 199  // bytes of a file name
    private let pairs: [(key: String, value: String)]

    init(_ text: String) throws {
        pairs = Reader.lines(text).map { line in
            let parts = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            return (parts[0], parts.count > 1 ? parts[1] : "")
        }
        let counts = Dictionary(grouping: pairs.map { $0.key }.filter { $0 != Reader.file }, by: { $0 })
        if let twice = counts.first(where: { $0.value.count > 1 }) {
            throw Manifest.damaged("it has \(twice.key) twice")
        }
    }

    /// Whether `name` is that of a file in the folder itself, with the rules of Python's artifacts/names.py.
    private static func isPlain(_ name: String) -> Bool {
        let first = Array(name.utf8.prefix(2))
        let isDrive = first.count == 2 && first[1] == 0x3a && (0x61...0x7a).contains(first[0] | 0x20)
        let isOdd = name.unicodeScalars.contains { letter in
            letter == "/" || letter == "\\" || letter.properties.generalCategory == .control
        }
        return !name.isEmpty && name != "." && name != ".." && !isDrive && !isOdd && name.utf8.count <= maxName
    }

    static func lines(_ text: String) -> [String] {
        let whole = text.hasSuffix("\n") ? String(text.dropLast()) : text
        return whole.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    func text(_ key: String) throws -> String {
        guard let found = pairs.first(where: { $0.key == key }) else { throw Manifest.damaged("it has no \(key)") }
        return found.value
    }

    func values<Value>(_ key: String, _ count: Int, _ parse: (String) -> Value?) throws -> [Value] {
        let words = try text(key).split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        let found = words.compactMap(parse)
        if found.count != count || words.count != count { throw Manifest.damaged("\(key) is '\(try text(key))'") }
        return found
    }

    func files() throws -> [String: String] {
        var found: [String: String] = [:]
        for (_, line) in pairs.filter({ $0.key == Reader.file }) {
            let digest = line.prefix(64)
            let name = String(line.dropFirst(65))
            let isHex = digest.count == 64 && digest.allSatisfy { "0123456789abcdef".contains($0) }
            if !isHex || !Reader.isPlain(name) { throw Manifest.damaged("file is '\(line)'") }
            found[name] = String(digest)
        }
        return found
    }
}
