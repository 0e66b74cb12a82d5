// swift-tools-version: 5.9
import PackageDescription

let package = Package(
    name: "ConvNeXtEdge",
    platforms: [.iOS(.v15), .macOS(.v14)],  // what ONNX Runtime's package asks for
    products: [
        .library(name: "ConvNeXtEdge", targets: ["ConvNeXtEdge"]),
        .library(name: "ConvNeXtEdgeSample", targets: ["ConvNeXtEdgeSample"]),
        .executable(name: "classify", targets: ["classify"]),
    ],
    dependencies: [
        .package(url: "https://github.com/microsoft/onnxruntime-swift-package-manager", from: "1.24.2")
    ],
    targets: [
        .target(
            name: "ConvNeXtEdge",
            dependencies: [.product(name: "onnxruntime", package: "onnxruntime-swift-package-manager")],
            resources: [.copy("model")]
        ),
        .target(
            name: "ConvNeXtEdgeSample",
            dependencies: ["ConvNeXtEdge"],
            resources: [.copy("picture.png"), .copy("picture.txt")]
        ),
        .executableTarget(
            name: "classify",
            dependencies: ["ConvNeXtEdge", "ConvNeXtEdgeSample"]
        ),
        .testTarget(
            name: "ConvNeXtEdgeTests",
            dependencies: ["ConvNeXtEdge", "ConvNeXtEdgeSample"],
            resources: [.copy("squares.bin")]
        ),
    ]
)
