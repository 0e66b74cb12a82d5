import ConvNeXtEdgeSample
import SwiftUI

@main
struct ConvNeXtSampleApp: App {
    var body: some Scene {
        WindowGroup { SampleView() }
    }
}
