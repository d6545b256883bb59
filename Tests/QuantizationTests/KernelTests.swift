import Quantization
import Testing

/// All tests of the kernels. They run one after the other because they choose the instruction set, which is global.
@Suite(.serialized) struct KernelTests {
    /// Runs the checks once with each instruction set that this processor has.
    static func withEachInstructionSet(_ body: (InstructionSet) throws -> Void) rethrows {
        let active = InstructionSet.active
        defer { active.select() }
        for set in InstructionSet.supported {
            set.select()
            try body(set)
        }
    }
}

extension [Float] {
    /// The elements' bits, for comparisons that tell −0 from 0 and know NaN.
    var bits: [UInt32] { map(\.bitPattern) }
}

/// The indices where two arrays differ, at most a few: what a failed comparison should print.
func differences<Element: Equatable>(_ a: [Element], _ b: [Element]) -> [String] {
    guard a.count == b.count else { return ["\(a.count) and \(b.count) elements"] }
    return Array(a.indices.lazy.filter { a[$0] != b[$0] }.prefix(5).map { "[\($0)] \(a[$0]) and \(b[$0])" })
}
