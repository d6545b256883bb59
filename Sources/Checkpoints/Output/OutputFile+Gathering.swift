import Tensors

extension OutputFile {
    /// Writes pieces that do not overlap, as few large ones: a call for each of thousands costs more than copying them.
    ///
    /// - Parameter largestGap: Pieces this close together are written as one, with zeros between them. Nothing that
    ///   counts may stand there yet.
    func write(_ pieces: [(offset: Int, bytes: [UInt8])], fillingGapsUpTo largestGap: Int) throws(FileError) {
        var start = 0
        var run: [UInt8] = []
        for (offset, bytes) in pieces.sorted(by: { $0.offset < $1.offset }) {
            let gap = offset - (start + run.count)
            if run.isEmpty || gap > largestGap {
                try write(run, at: start)
                start = offset
                run.removeAll(keepingCapacity: true)
            } else {
                run += repeatElement(0, count: gap)
            }
            run += bytes
        }
        try write(run, at: start)
    }
}
