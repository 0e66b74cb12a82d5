// Shows what a model answers to a picture, on a Mac:
// classify [--bench] [--threads N] [--runs N] [--top N] [--model DIR] PICTURE

import ConvNeXtEdge
import ConvNeXtEdgeSample
import Foundation

struct Arguments {
    var picture = ""
    var model = Model.bundledModel
    var isTimed = false
    var numbers = ["--threads": 0, "--runs": 50, "--top": 5]

    init(_ words: [String]) throws {
        var rest = words[...]
        while let word = rest.popFirst() {
            if word == "--bench" {
                isTimed = true
            } else if word == "--model" {
                model = URL(fileURLWithPath: try Arguments.value(of: word, &rest))
            } else if numbers[word] != nil {
                let text = try Arguments.value(of: word, &rest)
                guard let number = Int(text), number >= 0 else {
                    throw ConvNeXtEdgeError.usage("\(word) '\(text)' is no whole number\nGive one.")
                }
                numbers[word] = number
            } else if picture.isEmpty && !word.hasPrefix("--") {
                picture = word
            } else {
                let known = "--bench, --model, --threads, --runs, --top"
                throw ConvNeXtEdgeError.usage("'\(word)' is no option\nKnown: \(known).")
            }
        }
        if picture.isEmpty { throw ConvNeXtEdgeError.usage("no picture is named\nName a PNG or JPEG.") }
    }

    private static func value(of word: String, _ rest: inout ArraySlice<String>) throws -> String {
        guard let value = rest.popFirst() else { throw ConvNeXtEdgeError.usage("\(word) needs a value\nGive one.") }
        return value
    }
}

func run(_ arguments: Arguments) throws {
    let threads = arguments.numbers["--threads", default: 0]
    let upright = try Model(folder: arguments.model, threads: threads).upright
    let image = try RGBAImage(contentsOf: URL(fileURLWithPath: arguments.picture), upright: upright)
    if arguments.isTimed {
        let runs = arguments.numbers["--runs", default: 50]
        print(try bench(image, folder: arguments.model, threads: threads, runs: runs))
        return
    }
    let model = try Model(folder: arguments.model, threads: threads)
    for line in try describe(model, image, top: arguments.numbers["--top", default: 5]) { print(line) }
}

do {
    try run(Arguments(Array(CommandLine.arguments.dropFirst())))
} catch let error as ConvNeXtEdgeError {
    FileHandle.standardError.write(Data("Error: \(error.message)\n".utf8))
    if case .usage = error { exit(2) }
    exit(1)
}
