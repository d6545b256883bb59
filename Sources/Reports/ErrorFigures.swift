import Quantization

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// The figures that tell how far written values are from exact ones, and how much of an update reached them.
///
/// In the formulas, over the elements of a tensor: b is the base value, d the update, e = b + d the exact result, w the
/// written value. Elements whose exact or written value is NaN or infinite are left out, and counted elsewhere
/// (``ErrorSums/nonFiniteExact``, ``ErrorSums/nonFiniteWritten``).
///
/// A figure is `nil` where it has no meaning: every one when no element is left to compare, and where a formula
/// divides by zero, as each property says. No figure is ever NaN.
public struct ErrorFigures: Hashable, Sendable {
    /// ‖w − e‖ / ‖e‖, the Frobenius norm of the error over that of the exact result.
    ///
    /// 0 when every value is exact, also for an exact result of zeros; `nil` when the exact result is all zeros and the
    /// written one is not.
    public let relativeError: Double?

    /// √(Σ(w − e)² / n), in the unit of the weights.
    public let rmse: Double?

    /// max |w − e|, in the unit of the weights.
    public let maxAbsError: Double?

    /// w·e / (‖w‖ ‖e‖), between −1 and 1: rounding in the last place is cut off, and it is exactly 1 when every value is
    /// exact. `nil` when either norm is zero.
    public let cosine: Double?

    /// Signal to quantization noise ratio, 10 · log₁₀(Σe² / Σ(w − e)²), in decibels.
    ///
    /// Infinite when every value is exact (JSON has no infinity and says `null`, the table says "exact"); `nil` when the
    /// exact result is all zeros and the written one is not. Rounded to a millionth, because the last bit of a logarithm
    /// depends on the system's math library and a report must not.
    public let sqnrDecibels: Double?

    /// ‖d‖ / ‖b‖: how large the update is beside the weights it changes. `nil` without an update or when the base is all
    /// zeros.
    public let updateRatio: Double?

    /// ⟨w − b, d⟩ / ⟨d, d⟩: how much of the update reached the written weights; 1 is all of it.
    ///
    /// A projection, not a share: stochastic rounding scatters it around 1, so that it may exceed 1, and a change against
    /// the update makes it negative. `nil` without an update or for an update of zeros.
    public let updateKept: Double?

    /// - Parameter hasUpdate: Whether there was an update to add. Without one the two figures about it are `nil`.
    public init(_ sums: ErrorSums, hasUpdate: Bool) {
        let compared = sums.comparedCount
        guard compared > 0 else {
            self.init(
                relativeError: nil, rmse: nil, maxAbsError: nil, cosine: nil, sqnrDecibels: nil, updateRatio: nil,
                updateKept: nil)
            return
        }
        let isExact = sums.squaredError == 0
        let errorNorm = sums.squaredError.squareRoot()
        let exactNorm = sums.squaredExact.squareRoot()
        let norms = sums.squaredWritten.squareRoot() * exactNorm
        let cosine = isExact && exactNorm > 0 ? 1 : quotient(sums.writtenDotExact, norms)
        self.init(
            relativeError: isExact ? 0 : quotient(errorNorm, exactNorm),
            rmse: finite((sums.squaredError / Double(compared)).squareRoot()),
            maxAbsError: finite(sums.maxAbsError),
            cosine: cosine.map { min(1, max(-1, $0)) },
            sqnrDecibels: isExact ? .infinity : ErrorFigures.decibels(sums.squaredExact, over: sums.squaredError),
            updateRatio: hasUpdate
                ? quotient(sums.squaredUpdate.squareRoot(), sums.squaredBase.squareRoot()) : nil,
            updateKept: hasUpdate ? quotient(sums.changeDotUpdate, sums.squaredUpdate) : nil)
    }

    /// Figures about the error from one set of tensors and about the update from those of them that had one; `update` is
    /// empty when none had.
    package init(_ sums: ErrorSums, update: ErrorSums) {
        let error = ErrorFigures(sums, hasUpdate: false)
        let update = ErrorFigures(update, hasUpdate: true)
        self.init(
            relativeError: error.relativeError, rmse: error.rmse, maxAbsError: error.maxAbsError,
            cosine: error.cosine, sqnrDecibels: error.sqnrDecibels, updateRatio: update.updateRatio,
            updateKept: update.updateKept)
    }

    /// The figures of a tensor that was copied byte for byte: no error, by definition. The cosine is `nil`: nobody looked
    /// at the values.
    package static let untouched = ErrorFigures(
        relativeError: 0, rmse: 0, maxAbsError: 0, cosine: nil, sqnrDecibels: .infinity, updateRatio: nil,
        updateKept: nil)

    private init(
        relativeError: Double?, rmse: Double?, maxAbsError: Double?, cosine: Double?, sqnrDecibels: Double?,
        updateRatio: Double?, updateKept: Double?
    ) {
        self.relativeError = relativeError
        self.rmse = rmse
        self.maxAbsError = maxAbsError
        self.cosine = cosine
        self.sqnrDecibels = sqnrDecibels
        self.updateRatio = updateRatio
        self.updateKept = updateKept
    }

    private static func decibels(_ signal: Double, over noise: Double) -> Double? {
        guard let ratio = quotient(signal, noise), ratio > 0, let decibels = finite(10 * log10(ratio)) else {
            return nil
        }
        return (decibels * 1e6).rounded() / 1e6
    }
}

extension ErrorSums {
    /// The number of elements that the sums are over.
    public var comparedCount: Int { count - nonFiniteExact - nonFiniteWritten }
}

/// The quotient, or `nil` where it has no finite value.
private func quotient(_ dividend: Double, _ divisor: Double) -> Double? {
    divisor == 0 ? nil : finite(dividend / divisor)
}

private func finite(_ value: Double) -> Double? {
    value.isFinite ? value : nil
}
