// swift-tools-version: 6.1

import PackageDescription

// A package of its own, so that users of the library do not build it.
let package = Package(
    name: "qconv-benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "qconv", path: ".."),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
    ],
    targets: [
        .executableTarget(
            name: "qconv-bench",
            dependencies: [
                .product(name: "Checkpoints", package: "qconv"),
                .product(name: "Quantization", package: "qconv"),
                .product(name: "Tensors", package: "qconv"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "SystemPackage", package: "swift-system"),
            ])
    ],
    swiftLanguageModes: [.v6]
)
