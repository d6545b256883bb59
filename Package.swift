// swift-tools-version: 6.1

import PackageDescription

let package = Package(
    name: "qconv",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "qconv", targets: ["qconv"]),
        .library(name: "Tensors", targets: ["Tensors"]),
        .library(name: "Checkpoints", targets: ["Checkpoints"]),
        .library(name: "Adapters", targets: ["Adapters"]),
        .library(name: "Quantization", targets: ["Quantization"]),
        .library(name: "Reports", targets: ["Reports"]),
        .library(name: "Comparison", targets: ["Comparison"]),
        .library(name: "Lint", targets: ["Lint"]),
        .library(name: "Pipeline", targets: ["Pipeline"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", "4.0.0"..<"5.0.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
    ],
    targets: [
        // The inner loops: one portable C source, compiled for several instruction sets, chosen at run time.
        .target(name: "Kernels"),
        .target(
            name: "LosslessJSON",
            dependencies: [.product(name: "OrderedCollections", package: "swift-collections")]),
        // The NF4 container: the system's zlib, and the inner loops of its own deflate encoder.
        .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
        .target(name: "DeflateKernels"),
        // The inner loops of patches.
        .target(name: "PatchKernels"),
        // System calls about files that Swift does not import on Linux.
        .target(name: "CSystemCalls"),
        .target(
            name: "Tensors",
            dependencies: ["CSystemCalls", .product(name: "SystemPackage", package: "swift-system")]),
        .target(name: "Quantization", dependencies: ["Tensors", "Kernels"]),
        .target(
            name: "Checkpoints",
            dependencies: [
                "Tensors", "Quantization", "LosslessJSON", "CSystemCalls", "CZlib", "DeflateKernels", "PatchKernels",
                "Workers",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "OrderedCollections", package: "swift-collections"),
            ]),
        .target(
            name: "Adapters",
            dependencies: [
                "Checkpoints", "Quantization", "Tensors", "LosslessJSON",
                .product(name: "SystemPackage", package: "swift-system"),
            ]),
        .target(name: "Reports", dependencies: ["Tensors", "Quantization", "LosslessJSON", "Kernels"]),
        // Plain threads for what streams tensors.
        .target(name: "Workers", dependencies: ["CSystemCalls"]),
        .target(
            name: "Comparison",
            dependencies: [
                "Checkpoints", "Adapters", "Quantization", "Reports", "Tensors", "Kernels", "LosslessJSON", "Workers",
                .product(name: "SystemPackage", package: "swift-system"),
            ]),
        // What is doubtful about an adapter.
        .target(
            name: "Lint",
            dependencies: [
                "Checkpoints", "Adapters", "Quantization", "Reports", "Tensors", "LosslessJSON", "Workers",
                .product(name: "SystemPackage", package: "swift-system"),
            ]),
        .target(
            name: "Pipeline",
            dependencies: [
                "Checkpoints", "Adapters", "Quantization", "Reports", "Tensors", "LosslessJSON", "Workers",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "SystemPackage", package: "swift-system"),
            ]),
        .executableTarget(
            name: "qconv",
            dependencies: [
                "Pipeline", "Comparison", "Lint", "Workers", "CSystemCalls",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .testTarget(
            name: "AdaptersTests",
            dependencies: [
                "Adapters", "Checkpoints", "Tensors", "LosslessJSON",
                .product(name: "SystemPackage", package: "swift-system"),
            ]),
        // What several test targets share; no product contains it.
        .target(
            name: "TestSupport",
            dependencies: ["LosslessJSON", .product(name: "OrderedCollections", package: "swift-collections")],
            path: "Tests/TestSupport"),
        // Models with random contents, which tests of several formats write and read.
        .target(
            name: "SampleModels",
            dependencies: [
                "Checkpoints", "Tensors", "TestSupport",
                .product(name: "SystemPackage", package: "swift-system"),
            ], path: "Tests/SampleModels"),
        .testTarget(name: "WorkersTests", dependencies: ["Workers"]),
        .testTarget(
            name: "TensorsTests",
            dependencies: [
                "Tensors", "Workers", "SampleModels", "TestSupport",
                .product(name: "SystemPackage", package: "swift-system"),
            ]),
        .testTarget(
            name: "ReportsTests", dependencies: ["Reports", "Quantization", "Tensors", "LosslessJSON", "TestSupport"]),
        .testTarget(
            name: "NF4ContainerTests",
            dependencies: [
                "Checkpoints", "Quantization", "Tensors", "LosslessJSON", "SampleModels", "TestSupport",
                .product(name: "SystemPackage", package: "swift-system"),
            ]),
        .testTarget(
            name: "PatchTests",
            dependencies: [
                "Checkpoints", "Tensors", "LosslessJSON", "SampleModels", "TestSupport",
                .product(name: "SystemPackage", package: "swift-system"),
            ]),
        .testTarget(name: "QuantizationTests", dependencies: ["Quantization", "Reports", "Tensors", "TestSupport"]),
        .testTarget(
            name: "PipelineTests",
            dependencies: [
                "Pipeline", "Checkpoints", "Quantization", "Reports", "Tensors", "LosslessJSON", "TestSupport",
                .product(name: "SystemPackage", package: "swift-system"),
            ]),
        .testTarget(
            name: "ComparisonTests",
            dependencies: [
                "Comparison", "Checkpoints", "Reports", "Tensors", "LosslessJSON", "TestSupport",
                .product(name: "SystemPackage", package: "swift-system"),
            ]),
        .testTarget(
            name: "LintTests",
            dependencies: [
                "Lint", "Adapters", "LosslessJSON", "TestSupport",
                .product(name: "SystemPackage", package: "swift-system"),
            ]),
        .testTarget(name: "CommandLineTests", dependencies: ["qconv", "LosslessJSON", "Reports", "TestSupport"]),
        .testTarget(
            name: "CheckpointsTests",
            dependencies: [
                "Checkpoints", "Quantization", "Tensors", "LosslessJSON", "TestSupport",
                .product(name: "SystemPackage", package: "swift-system"),
            ]),
        .testTarget(name: "LosslessJSONTests", dependencies: ["LosslessJSON", "TestSupport"]),
    ],
    swiftLanguageModes: [.v6]
)
