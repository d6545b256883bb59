import Kernels

/// An instruction set that the inner loops are compiled for. All give the same bytes; tests and benchmarks choose.
package enum InstructionSet: CaseIterable, Sendable {
    /// SSE2 on x86-64, NEON on arm64.
    case baseline
    case avx2
    case avx512

    /// Those that this build has and this processor can run.
    package static var supported: [InstructionSet] { allCases.filter { qconv_is_supported($0.kernelSet) } }

    /// The one in use: the best that is supported, unless the environment variable QCONV_KERNELS names a lesser one.
    package static var active: InstructionSet {
        allCases.first { $0.kernelSet == qconv_active_instruction_set() } ?? .baseline
    }

    /// Uses this one for all calls from now on, in all threads. Returns whether it is supported; if not, nothing changes.
    @discardableResult
    package func select() -> Bool { qconv_select_instruction_set(kernelSet) }

    private var kernelSet: qconv_instruction_set {
        switch self {
        case .baseline: QCONV_BASELINE
        case .avx2: QCONV_AVX2
        case .avx512: QCONV_AVX512
        }
    }
}
