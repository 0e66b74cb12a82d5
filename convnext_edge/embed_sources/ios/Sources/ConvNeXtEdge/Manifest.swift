import CryptoKit
import Foundation

/// What `convnext-edge embed` says of the engine: convnext_edge.txt, lines of a key and a value.
struct Manifest {
    static let name = "convnext_edge.txt"
    static let labelsName = "labels.txt"
    // 2: what older libraries would take for a classifier of squares; 3: images that they would prepare otherwise; 4:
    // images in a corner
    private static let formats = ["1", "2", "3", "4"]
    /// Each task, and the name of its first output; the other outputs are maps, but for those of a detector.
    private static let firstOutputs: KeyValuePairs = [
        "classify": "logits", "multilabel": "logits", "regress": "values", "embed": "embedding", "features": "",
        "segment": "logits", "detect": "boxes",
    ]
    private static let ofDetectors = ["boxes", "labels", "scores", "masks"]
    private static let mostDetections = 1 << 16
    private static let onlyRuntime = "onnxruntime"
    private static let maxBytes = 1 << 20  // of the manifest; usual are up to 2 KiB
    private static let again = "Make the folder again: convnext-edge embed."

    let engine: String
    let runtime: String
    let takesBytes: Bool
    let task: String
    /// Names, in the order of the engine.
    let outputs: [String]
    /// Rows of the input.
    let resolution: Int
    /// Columns of the input.
    let width: Int
    /// How an image comes to the size of the input.
    let way: Way
    /// Whether photographs are to be turned as their EXIF orientation says.
    let upright: Bool
    let interpolation: String
    let mean: [Double]
    let std: [Double]
    let classes: Int
    /// Of a detector, the first class that objects may have, and the most objects that are found in an image.
    let firstLabel: Int
    let detections: Int
    /// SHA-256 by name.
    let files: [String: String]

    /// Throws `ConvNeXtEdgeError.artifact`, or `.target` for an engine of another runtime.
    init(_ text: String) throws {
        let reader = try Reader(text)
        let found = try reader.text("format")
        if !Manifest.formats.contains(found) {
            throw ConvNeXtEdgeError.artifact(
                "\(Manifest.name) has format \(found), this version reads 1 to 4\n"
                    + "Embed again with the version of these sources.")
        }
        engine = try reader.text("engine")
        runtime = try reader.text("runtime")
        takesBytes = try Manifest.input(reader)
        task = try Manifest.task(reader)
        outputs = try Manifest.outputs(reader, task)
        resolution = try reader.values("resolution", 1, Int.init)[0]
        width = reader.has("width") ? try reader.values("width", 1, Int.init)[0] : resolution
        way = try Way(reader)
        upright = try reader.word("exif", ["false", "true"]) == "true"
        interpolation = try reader.text("interpolation")
        mean = try reader.values("mean", 3, Double.init)
        std = try reader.values("std", 3, Double.init)
        classes = try reader.values("classes", 1, Int.init)[0]
        firstLabel = task == "detect" ? try reader.values("first_label", 1, Int.init)[0] : 0
        detections = task == "detect" ? try reader.values("detections", 1, Int.init)[0] : 0
        files = try reader.files()
        try check()
    }

    private static func task(_ reader: Reader) throws -> String {
        let found = reader.has("task") ? try reader.text("task") : "classify"
        if firstOutputs.contains(where: { $0.key == found }) { return found }
        let known = firstOutputs.map { $0.key }.joined(separator: ", ")
        throw ConvNeXtEdgeError.artifact("task '\(found)' is not known\nKnown: \(known).")
    }

    /// Whether the input is bytes.
    private static func input(_ reader: Reader) throws -> Bool {
        let found = try reader.text("input")
        if found != "uint8" && found != "float32" { throw damaged("input is '\(found)'") }
        return found == "uint8"
    }

    /// Names: a vector where the task has one, and maps; or those of a detector.
    private static func outputs(_ reader: Reader, _ task: String) throws -> [String] {
        let said = task == "classify" && !reader.has("outputs") ? "logits" : try reader.text("outputs")
        let names = said.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        let vector = firstOutputs.first { $0.key == task }?.value ?? ""
        let maps = vector.isEmpty ? names[...] : names.dropFirst()
        let isMap = { (name: String) in
            name.hasPrefix("map") && name.count <= 5 && name.dropFirst(3).allSatisfy { "0123456789".contains($0) }
        }
        let areMaps = (vector.isEmpty || names[0] == vector) && maps.allSatisfy(isMap)
        let fits = task == "detect" ? names == ofDetectors : areMaps
        if !fits || Set(names).count != names.count { throw damaged("outputs is '\(said)'") }
        return names
    }

    private func check() throws {
        let edges = 1...(1 << 14)
        let labelled = task == "embed" || task == "features" ? 0...0 : 1...(1 << 24)
        let sizes = edges.contains(resolution) && edges.contains(width) && labelled.contains(classes)
        let longest = max(resolution, width)
        let crops = way.crop <= 1 && way.crop * Double(1 << 30) >= Double(longest)
        let resizes = way.resize.map { $0 >= longest && edges.contains($0) } ?? true
        if !sizes || !crops || !resizes {
            throw Manifest.damaged("resolution, crop, resize or classes are out of range")
        }
        let first = 0..<min(2, classes)
        if task == "detect" && !(first.contains(firstLabel) && (1...Manifest.mostDetections).contains(detections)) {
            throw Manifest.damaged("first_label or detections are out of range")
        }
        if !way.padColor.allSatisfy({ (0...255).contains($0) }) {
            throw Manifest.damaged("pad_color is out of range")
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
        let found = text.isEmpty ? [] : Reader.lines(text)
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

/// How an image comes to the size of the input.
struct Way {
    /// What is resized: the shorter edge, each edge, or the longer edge; in the last, the image lies in the upper left
    /// corner.
    enum Mode: String {
        case center
        case squash
        case pad
        case corner
    }

    let mode: Mode
    /// Part of the resized edge that is kept.
    let crop: Double
    /// Edge before the crop in pixels; nil where `crop` tells it.
    let resize: Int?
    /// Whether a margin of half a pixel is rounded down; otherwise to the even number.
    let roundDown: Bool
    /// Whether images are resized as PyTorch does with 8-bit tensors.
    let ofTensors: Bool
    /// Red, green and blue of what is padded.
    let padColor: [Int]

    fileprivate init(_ reader: Reader) throws {
        let saidCrop = try reader.values("crop", 1, Double.init)[0]
        if reader.has("resize_mode") {
            mode = Mode(rawValue: try reader.word("resize_mode", ["center", "squash", "pad", "corner"])) ?? .center
            crop = saidCrop
        } else {  // before format 3, a crop of 1 squashes the whole image where `squash` does not say otherwise
            let squashes = reader.has("squash") ? try reader.word("squash", ["false", "true"]) == "true" : saidCrop == 1
            mode = squashes ? .squash : .center
            crop = squashes ? 1 : saidCrop
        }
        resize = reader.has("resize") ? try reader.values("resize", 1, Int.init)[0] : nil
        roundDown = try reader.word("crop_rounding", ["half_even", "floor"]) == "floor"
        ofTensors = try reader.word("resampler", ["pillow", "pytorch"]) == "pytorch"
        padColor = reader.has("pad_color") ? try reader.values("pad_color", 3, Int.init) : [0, 0, 0]
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

    func has(_ key: String) -> Bool { pairs.contains { $0.key == key } }

    func text(_ key: String) throws -> String {
        guard let found = pairs.first(where: { $0.key == key }) else { throw Manifest.damaged("it has no \(key)") }
        return found.value
    }

    /// The value of a key, which must be one of `words`; the first where it is not said.
    func word(_ key: String, _ words: [String]) throws -> String {
        let said = has(key) ? try text(key) : words[0]
        if !words.contains(said) { throw Manifest.damaged("\(key) is '\(said)'") }
        return said
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
