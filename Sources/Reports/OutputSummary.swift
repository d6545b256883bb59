import Quantization
import Tensors

/// The tensors of one output taken together.
///
/// Overall figures come from the sums of all tensors, so that each weighs by its energy. The median and the worst count
/// converted tensors only: those copied byte for byte have no error and would hide the others.
public struct OutputSummary: Hashable, Sendable {
    /// A figure and the tensor it belongs to.
    public struct Extreme: Hashable, Sendable {
        public let tensor: String
        public let value: Double
    }

    /// The number of tensors, elements and bytes, and what an element costs.
    public struct Totals: Hashable, Sendable {
        public private(set) var tensors = 0
        public private(set) var elements = 0
        public private(set) var bytes = 0

        /// 8 · bytes / elements; `nil` when there are no elements.
        public var bitsPerWeight: Double? { elements == 0 ? nil : 8 * Double(bytes) / Double(elements) }

        mutating func add(elements: Int, bytes: Int) {
            tensors += 1
            self.elements += elements
            self.bytes += bytes
        }
    }

    /// All tensors as the input stored them.
    public let before: Totals
    /// All tensors as the output stores them.
    public let after: Totals
    /// The tensors that were 4-bit in the input.
    public let fourBitBefore: Totals
    /// The tensors that are 4-bit in the output.
    public let fourBitAfter: Totals

    /// How many tensors went through a conversion.
    public let converted: Int
    /// How many tensors were copied byte for byte.
    public let untouched: Int
    /// How many tensors an adapter brought an update for.
    public let updated: Int
    /// How many tensors were rounded to the nearest level.
    public let roundedNearest: Int
    /// How many tensors were rounded stochastically.
    public let roundedStochastically: Int

    /// The figures of all converted tensors together. The two about the update cover the tensors that had one.
    public let overall: ErrorFigures
    /// The median relative error of the converted tensors; of an even number, the mean of the middle two.
    public let medianRelativeError: Double?
    /// The converted tensor with the largest relative error.
    public let worstRelativeError: Extreme?
    /// The tensor that kept least of its update.
    public let worstUpdateKept: Extreme?
    /// The share of all comparable codes that differ from the base's, over the tensors that were converted.
    public let codesChangedShare: Double?
    /// Elements whose exact result is NaN or infinite.
    public let nonFiniteExact: Int
    /// Elements whose exact result is finite but whose written value is not.
    public let nonFiniteWritten: Int

    public init(_ tensors: [TensorReport]) {
        var before = Totals()
        var after = Totals()
        var fourBitBefore = Totals()
        var fourBitAfter = Totals()
        var all = ErrorSums()
        var updates = ErrorSums()
        var codes = 0
        var codesChanged = 0
        for tensor in tensors {
            before.add(elements: tensor.elementsBefore, bytes: tensor.bytesBefore)
            after.add(elements: tensor.elements, bytes: tensor.bytesAfter)
            if tensor.before.blockQuantization != nil {
                fourBitBefore.add(elements: tensor.elementsBefore, bytes: tensor.bytesBefore)
            }
            if tensor.after.blockQuantization != nil {
                fourBitAfter.add(elements: tensor.elements, bytes: tensor.bytesAfter)
            }
            guard let sums = tensor.sums else { continue }
            all.merge(sums)
            if tensor.hasUpdate { updates.merge(sums) }
            if let changed = tensor.codesChanged {
                codes += tensor.elements
                codesChanged += changed
            }
        }
        self.before = before
        self.after = after
        self.fourBitBefore = fourBitBefore
        self.fourBitAfter = fourBitAfter

        let convertedTensors = tensors.filter { !$0.isUntouched }
        converted = convertedTensors.count
        untouched = tensors.count - convertedTensors.count
        updated = tensors.count { $0.hasUpdate }
        roundedNearest = tensors.count { $0.rounding == .nearest }
        roundedStochastically = tensors.count { $0.rounding == .stochastic }

        overall = ErrorFigures(all, update: updates)
        medianRelativeError = median(convertedTensors.compactMap(\.figures.relativeError))
        worstRelativeError = OutputSummary.extreme(of: convertedTensors, \.figures.relativeError, >)
        worstUpdateKept = OutputSummary.extreme(of: convertedTensors, \.figures.updateKept, <)
        codesChangedShare = codes == 0 ? nil : Double(codesChanged) / Double(codes)
        nonFiniteExact = all.nonFiniteExact
        nonFiniteWritten = all.nonFiniteWritten
    }

    /// The tensor whose figure comes first; among equals, the first in the order of the output.
    private static func extreme(
        of tensors: [TensorReport], _ figure: (TensorReport) -> Double?, _ precedes: (Double, Double) -> Bool
    ) -> Extreme? {
        var found: Extreme?
        for tensor in tensors {
            guard let value = figure(tensor) else { continue }
            if let found, !precedes(value, found.value) { continue }
            found = Extreme(tensor: tensor.name, value: value)
        }
        return found
    }
}

private func median(_ values: [Double]) -> Double? {
    guard !values.isEmpty else { return nil }
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
