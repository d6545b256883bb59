/// Every way in which a zip archive can be unreadable.
public enum ZipProblem: Error, Hashable, Sendable {
    /// No end-of-central-directory record: the last thing in an archive.
    case noDirectory
    case inconsistentDirectory(reason: String)
    case directoryTooLarge(byteCount: Int, limit: Int)
    case invalidName(index: Int)
    case duplicateMember(String)
    case encryptedMember(String)
    case unsupportedMethod(member: String, method: Int)
    case invalidMember(String, reason: String)
    case overlap(member: String, other: String)
    /// A member that claims more than its compressed bytes can yield.
    case implausibleSize(member: String, compressed: Int, size: Int)
    case damaged(member: String)
}

extension ZipProblem: CustomStringConvertible {
    public var description: String {
        switch self {
        case .noDirectory:
            "the zip archive has no directory at its end; the file is truncated: download or copy it again"
        case .inconsistentDirectory(let reason): "the zip archive's directory is wrong: \(reason)"
        case .directoryTooLarge(let byteCount, let limit):
            "the zip archive's directory has \(byteCount) bytes, more than the \(limit) that are read"
        case .invalidName(let index): "the name of member \(index) of the zip archive is not UTF-8"
        case .duplicateMember(let name): "the zip archive has the member \(name) twice"
        case .encryptedMember(let name): "the zip archive's member \(name) is encrypted; unpack it and save it again"
        case .unsupportedMethod(let member, let method):
            """
            the zip archive's member \(member) is compressed with method \(method); only deflate (8) and stored members \
            (0) are read
            """
        case .invalidMember(let name, let reason): "the zip archive's member \(name) \(reason)"
        case .overlap(let member, let other): "the zip archive's members \(other) and \(member) overlap"
        case .implausibleSize(let member, let compressed, let size):
            "the zip archive's member \(member) claims \(size) bytes, which its \(compressed) cannot yield"
        case .damaged(let member): "the zip archive's member \(member) is damaged: it does not decompress as it should"
        }
    }
}
