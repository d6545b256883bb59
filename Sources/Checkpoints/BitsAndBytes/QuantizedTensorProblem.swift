import LosslessJSON
import Tensors

/// Every way in which the pieces of a bitsandbytes 4-bit weight can fail to make one.
public enum QuantizedTensorProblem: Error, Hashable, Sendable {
    case missingPiece(name: String)
    /// A piece whose weight has no quant state.
    case orphan(piece: String)
    /// Two quant states for one weight.
    case severalQuantStates
    case unknownQuantState(piece: String)
    case quantStateTooLong(byteCount: Int)
    case invalidJSON(JSONParseError)
    case missingKey(String)
    case wrongValue(key: String, expected: String, found: String)
    case tooLarge(shape: [Int])
    case wrongPiece(piece: String, expected: String, found: String)
    case nonStandardCodebook(piece: String, quantType: QuantType)
}

extension QuantizedTensorProblem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .missingPiece(let name):
            "the piece \"\(name)\" of this 4-bit weight is missing; is the checkpoint complete?"
        case .orphan(let piece):
            "the checkpoint has its piece \"\(piece)\" but no quant_state; is the checkpoint complete?"
        case .severalQuantStates: "has two quant states, nf4 and fp4"
        case .unknownQuantState(let piece):
            "\"\(piece)\" is a quant state that is not known; known are bitsandbytes__nf4 and bitsandbytes__fp4"
        case .quantStateTooLong(let byteCount): "its quant_state has \(byteCount) bytes; that is no quant state"
        case .invalidJSON(let error): "its quant_state is not valid JSON: \(error)"
        case .missingKey(let key): "its quant_state lacks \"\(key)\""
        case .wrongValue(let key, let expected, let found):
            "\"\(key)\" in its quant_state: expected \(expected), found \(found)"
        case .tooLarge(let shape): "its shape \(shape) is larger than any file"
        case .wrongPiece(let piece, let expected, let found): "\"\(piece)\": expected \(expected), found \(found)"
        case .nonStandardCodebook(let piece, let quantType):
            """
            "\(piece)" differs from bitsandbytes' \(quantType.rawValue) table; bitsandbytes itself ignores the stored \
            one when it decodes, so what the codes mean is not certain
            """
        }
    }
}
