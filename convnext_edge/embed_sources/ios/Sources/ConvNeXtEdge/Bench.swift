import Darwin
import Foundation

private let warmUp = 3

/// Times loading, the first answer, single calls of the engine, and whole answers from `image`, and returns the JSON
/// object that `convnext-edge benchmark --json` prints: reference_ms and what follows from it are null, as the
/// reference is not here; load_ms, first_answer_ms and end_to_end_ms come with it.
///
/// threads: of a call, 0 for all cores. runs: timed calls. Throws `ConvNeXtEdgeError`.
public func bench(_ image: RGBAImage, folder: URL = Model.bundledModel, threads: Int = 0, runs: Int = 50) throws
    -> String
{
    if runs < 1 { throw ConvNeXtEdgeError.usage("runs \(runs) is less than 1\nGive a whole number from 1.") }
    let used = threads > 0 ? threads : ProcessInfo.processInfo.activeProcessorCount
    let (model, loadMs) = try timed { try Model(folder: folder, threads: used) }
    let firstMs = try timed { try answer(model, image) }.1
    let pixels = try model.prepare(image)
    let engine = try timeCalls(runs) { _ = try model.infer(pixels) }
    let whole = try timeCalls(runs) { try answer(model, image) }
    let nothing = NSNull()
    let fields: [String: Any] = [
        "artifact": "model/\(model.engine)",
        "target": model.runtime,
        "runtime_version": model.runtimeVersion,
        "batch": 1,
        "threads": used,
        "runs": runs,
        "cpu": system("machdep.cpu.brand_string") ?? system("hw.machine") ?? "",
        "isa": instructions(),
        "candidate_ms": percentiles(engine),
        "reference_ms": nothing,
        "speedup": nothing,
        "speedup_ci95": nothing,
        "reliable": doubt(engine).isEmpty,
        "doubt": doubt(engine),
        "throughput_ips": number(1000 / percentile(engine, 50)),
        "peak_rss_bytes": peakRSS(),
        "gates": [String](),
        "passed": true,
        "fp16_ms": nothing,
        "device": nothing,
        "advice": nothing,
        "hint": "latency",
        "candidate_histogram": nothing,
        "reference_histogram": nothing,
        "throughput": nothing,
        "layers": [String](),
        "sweep": [String](),
        "load_ms": number(loadMs),
        "first_answer_ms": number(firstMs),
        "end_to_end_ms": percentiles(whole),
    ]
    let options: JSONSerialization.WritingOptions = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try JSONSerialization.data(withJSONObject: fields, options: options), as: UTF8.self)
}

/// Computes the whole answer, whatever the task.
private func answer(_ model: Model, _ image: RGBAImage) throws {
    switch model.task {
    case "classify": _ = try model.classify(image)
    case "multilabel": _ = try model.multilabel(image)
    case "segment": _ = try model.segment(image)
    case "detect": _ = try model.detect(image)
    default: _ = try model.run(image)
    }
}

/// Why times are not to be relied on; empty where they are, as on a quiet machine.
private func doubt(_ times: [Double]) -> String {
    let ratio = percentile(times, 50) / percentile(times, 0)
    return ratio > 2 ? "a median is \(number(ratio)) times the least time" : ""
}

/// What `call` returns, and the milliseconds that it took.
private func timed<Value>(_ call: () throws -> Value) rethrows -> (Value, Double) {
    let started = DispatchTime.now().uptimeNanoseconds
    let value = try call()
    return (value, Double(DispatchTime.now().uptimeNanoseconds - started) / 1e6)
}

/// Milliseconds of each call, in order of size.
private func timeCalls(_ runs: Int, _ call: () throws -> Void) rethrows -> [Double] {
    for _ in 0..<warmUp { try call() }
    return try (0..<runs).map { _ in try timed(call).1 }.sorted()
}

/// Linear between the neighbours, as NumPy does it.
private func percentile(_ sorted: [Double], _ percent: Double) -> Double {
    let position = percent / 100 * Double(sorted.count - 1)
    let below = Int(position)
    let above = min(below + 1, sorted.count - 1)
    return sorted[below] + (position - Double(below)) * (sorted[above] - sorted[below])
}

/// Four digits behind the point, which `Double` itself would print as more.
private func number(_ value: Double) -> NSDecimalNumber {
    return NSDecimalNumber(string: String(format: "%.4f", value))
}

private func percentiles(_ times: [Double]) -> [String: NSDecimalNumber] {
    return [
        "p50": number(percentile(times, 50)),
        "p90": number(percentile(times, 90)),
        "p99": number(percentile(times, 99)),
        "min": number(times[0]),
    ]
}

/// A text that the kernel tells by name.
private func system(_ name: String) -> String? {
    var size = 0
    guard sysctlbyname(name, nil, &size, nil, 0) == 0, size > 0 else { return nil }
    var bytes = [CChar](repeating: 0, count: size)
    guard sysctlbyname(name, &bytes, &size, nil, 0) == 0 else { return nil }
    return String(cString: bytes)
}

/// Those of the CPU's instructions that decide how INT8 runs.
private func instructions() -> [String] {
    let known = ["asimddp": "hw.optional.arm.FEAT_DotProd", "i8mm": "hw.optional.arm.FEAT_I8MM"]
    return known.keys.sorted().filter { name in
        var has: Int32 = 0
        var size = MemoryLayout<Int32>.size
        return sysctlbyname(known[name, default: ""], &has, &size, nil, 0) == 0 && has == 1
    }
}

private func peakRSS() -> Int {
    var usage = rusage()
    getrusage(RUSAGE_SELF, &usage)
    return usage.ru_maxrss  // bytes, on Apple's systems
}
