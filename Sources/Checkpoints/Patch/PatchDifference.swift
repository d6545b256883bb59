import PatchKernels
import Tensors

/// Codes what leads from some bytes of the base to the same bytes of the target, and back.
package enum PatchDifference {
    /// The first byte of a stream beyond those of ``StreamMethod``: symbols of moves, stored or deflated.
    private static let storedMoves: UInt8 = 4
    private static let deflatedMoves: UInt8 = 5

    // MARK: - Coding

    /// Codes a difference; the same bytes always give the same stream. Empty when base and target are equal.
    ///
    /// - Parameters:
    ///   - base: `nil` when only the target has them.
    ///   - target: `nil` when only the base has them, as many bytes otherwise.
    package static func encode(
        base: UnsafeRawBufferPointer?, target: UnsafeRawBufferPointer?, kind: PatchKind
    ) -> [UInt8] {
        guard let base, let target else {
            guard let whole = base ?? target else { return [] }
            return stream(
                kind == .quantState
                    ? StreamEncoder.encodeText(whole) : StreamEncoder.encode(whole, planeWidth: kind.planeWidth))
        }
        guard patch_differ(base.bytePointer, target.bytePointer, target.count) != 0 else { return [] }
        guard case .codes(let quantType) = kind else { return numbers(base, target, width: kind.planeWidth) }
        let moves = moves(base, target, quantType)
        // Codes that have nothing to do with each other make more symbols than there are bytes.
        guard moves.count > base.count * 3 / 4 else { return moves }
        let asNumbers = numbers(base, target, width: 1)
        return asNumbers.count < moves.count ? asNumbers : moves
    }

    private static func stream(_ encoded: StreamEncoder.Encoded) -> [UInt8] {
        [encoded.method.rawValue] + encoded.bytes
    }

    private static func numbers(_ base: UnsafeRawBufferPointer, _ target: UnsafeRawBufferPointer, width: Int) -> [UInt8]
    {
        let difference = [UInt8](unsafeUninitializedCapacity: target.count) { out, written in
            patch_difference(base.bytePointer, target.bytePointer, target.count / width, width, out.baseAddress)
            written = target.count
        }
        return difference.withUnsafeBytes { stream(StreamEncoder.encode($0, planeWidth: width)) }
    }

    private static func moves(
        _ base: UnsafeRawBufferPointer, _ target: UnsafeRawBufferPointer, _ quantType: QuantType
    ) -> [UInt8] {
        let symbols = [UInt8](unsafeUninitializedCapacity: 2 * target.count) { out, written in
            written = patch_encode_moves(
                base.bytePointer, target.bytePointer, target.count, quantType.ranks, out.baseAddress)
        }
        let encoded = symbols.withUnsafeBytes { StreamEncoder.encode($0, planeWidth: 1) }
        var bytes = [encoded.method == .stored ? storedMoves : deflatedMoves]
        bytes.appendNumber(symbols.count)
        return bytes + encoded.bytes
    }

    // MARK: - Decoding

    /// Turns one side's bytes into the other's. Never writes past `bytes`.
    ///
    /// - Parameters:
    ///   - stored: A stream of ``encode(base:target:kind:)``, from a file that anybody may have made.
    ///   - presence: Which side has these bytes.
    ///   - result: The side that is to be made.
    ///   - bytes: The other side's bytes, if it has them; then the result.
    /// - Returns: Whether the stream was one, of exactly this size.
    package static func decode(
        _ stored: UnsafeRawBufferPointer, kind: PatchKind, presence: PatchPresence, result: PatchSide,
        into bytes: UnsafeMutableRawBufferPointer
    ) -> Bool {
        guard let method = stored.first else { return presence == .both || bytes.isEmpty }
        let payload = UnsafeRawBufferPointer(rebasing: stored[1...])
        if method == storedMoves || method == deflatedMoves {
            guard presence == .both, case .codes(let quantType) = kind else { return false }
            return move(
                payload, isDeflated: method == deflatedMoves, quantType, backwards: result == .base, codes: bytes)
        }
        guard let method = StreamMethod(rawValue: method) else { return false }
        let width = kind.planeWidth
        guard presence == .both else {
            return StreamDecoder.decode(payload, method: method, planeWidth: width, into: bytes)
        }
        guard bytes.count % width == 0 else { return false }
        return withUnsafeTemporaryAllocation(byteCount: bytes.count, alignment: 16) { difference in
            guard StreamDecoder.decode(payload, method: method, planeWidth: width, into: difference) else {
                return false
            }
            patch_add_difference(
                UnsafeRawBufferPointer(difference).bytePointer, bytes.count / width, width, result == .base ? 1 : 0,
                bytes.bindMemory(to: UInt8.self).baseAddress)
            return true
        }
    }

    private static func move(
        _ payload: UnsafeRawBufferPointer, isDeflated: Bool, _ quantType: QuantType, backwards: Bool,
        codes: UnsafeMutableRawBufferPointer
    ) -> Bool {
        var cursor = IndexCursor(Array(payload.prefix(IndexCursor.longestNumber))[...])
        guard let count = try? cursor.number(), count <= 2 * codes.count else { return false }
        let headSize = min(payload.count, IndexCursor.longestNumber) - cursor.remaining
        let stored = UnsafeRawBufferPointer(rebasing: payload[headSize...])
        return withUnsafeTemporaryAllocation(byteCount: count, alignment: 16) { symbols in
            guard
                StreamDecoder.decode(stored, method: isDeflated ? .deflate : .stored, planeWidth: 1, into: symbols)
            else { return false }
            return patch_decode_moves(
                UnsafeRawBufferPointer(symbols).bytePointer, count, quantType.ranks, quantType.codesByRank,
                backwards ? 1 : 0, codes.bindMemory(to: UInt8.self).baseAddress, codes.count) != 0
        }
    }
}

extension QuantType {
    /// The 16 codes in the order of their levels; of the two zeros of FP4 the negative one comes first.
    fileprivate var codesByRank: [UInt8] {
        switch self {
        case .nf4: QuantType.nf4Codes
        case .fp4: QuantType.fp4Codes
        }
    }

    /// Undoes ``codesByRank``: the place of each code.
    fileprivate var ranks: [UInt8] {
        switch self {
        case .nf4: QuantType.nf4Codes
        case .fp4: QuantType.fp4Ranks
        }
    }

    private static let nf4Codes = [UInt8](0..<16)
    private static let fp4Codes: [UInt8] = [11, 10, 13, 12, 15, 14, 9, 8, 0, 1, 6, 7, 4, 5, 2, 3]
    private static let fp4Ranks = (0..<16).map { code in UInt8(fp4Codes.firstIndex(of: code) ?? 0) }
}
