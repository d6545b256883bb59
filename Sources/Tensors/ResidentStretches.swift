import Synchronization

/// The stretches of mapped files that the process keeps in its resident memory: those used last.
///
/// A stretch that drops out is let go of, whether or not somebody still reads it: that takes time, never the bytes.
final class ResidentStretches: Sendable {
    static let shared = ResidentStretches()

    /// 32 MiB in all. Workers go through a model side by side and share their stretches; each part of a tensor has its own.
    static let limit = 8

    private struct Stretch {
        weak var file: MappedFile?
        let number: Int
    }

    /// In the order of their last use.
    private let stretches = Mutex<[Stretch]>([])

    /// Notes that stretches of a file have just been read.
    func note(_ numbers: ClosedRange<Int>, of file: MappedFile) {
        let dropped = stretches.withLock { stretches -> [Stretch] in
            for number in numbers {
                if let index = stretches.lastIndex(where: { $0.number == number && $0.file === file }) {
                    guard index < stretches.count - 1 else { continue }
                    stretches.remove(at: index)
                }
                stretches.append(Stretch(file: file, number: number))
            }
            let surplus = stretches.prefix(max(0, stretches.count - ResidentStretches.limit))
            stretches.removeFirst(surplus.count)
            return Array(surplus)
        }
        for stretch in dropped { stretch.file?.release(stretch: stretch.number) }
    }
}
