#if canImport(SwiftUI)
import ConvNeXtEdge
import SwiftUI

/// Shows the model the picture that comes with the sample, compares the answer with Python's, and measures latency.
///
///     @main struct SampleApp: App {
///         var body: some Scene { WindowGroup { SampleView() } }
///     }
///
/// Started with the argument `--bench`, it measures at once and prints the JSON, which Xcode's console shows.
public struct SampleView: View {
    @State private var answer = "Loading the model …"
    @State private var measured = ""
    @State private var isBusy = true

    public init() {}

    public var body: some View {
        ScrollView {
            VStack(alignment: .leading, spacing: 16) {
                Text(answer)
                Button("Measure latency") { Task { await measure() } }.disabled(isBusy)
                Text(measured).font(.system(.footnote, design: .monospaced)).textSelection(.enabled)
            }
            .frame(maxWidth: .infinity, alignment: .leading)
            .padding()
        }
        .task {
            answer = await Self.work(Self.report)
            isBusy = false
            if CommandLine.arguments.contains("--bench") { await measure() }
        }
    }

    private func measure() async {
        isBusy = true
        measured = "Measuring …"
        measured = await Self.work { try bench(Sample.picture()) }
        print(measured)
        isBusy = false
    }

    nonisolated private static func report() throws -> String {
        let model = try Model()
        let image = try Sample.picture()
        let answer = try describe(model, image, top: 5)
        let found = try compared(model, model.run(image))
        let runtime = "\(model.engine), ONNX Runtime \(model.runtimeVersion)"
        let comparison = Sample.expected().map { compare(found, $0, task: model.task) }
        return (answer + ["", runtime] + [comparison].compactMap { $0 }).joined(separator: "\n")
    }

    /// What `call` returns, or the text of what it throws; run beside the thread that draws.
    nonisolated private static func work(_ call: @escaping @Sendable () throws -> String) async -> String {
        return await Task.detached {
            do {
                return try call()
            } catch {
                return "Error: \(error.localizedDescription)"
            }
        }.value
    }
}
#endif
