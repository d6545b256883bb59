import Adapters
import Synchronization
import SystemPackage
import Workers

/// An adapter's directory, which is read when it is wanted, or before that on a thread of its own.
final class AdapterOpening: Sendable {
    let path: FilePath
    private let task = Mutex<BackgroundTask<LoRAAdapter>?>(nil)

    init(path: FilePath) { self.path = path }

    /// Starts reading.
    func begin() {
        task.withLock { [path] task in
            task = task ?? BackgroundTask { try LoRAAdapter(directory: path) }
        }
    }

    /// The adapter. What has been read beforehand serves once: a spec may be planned again after its files have changed.
    ///
    /// - Throws: ``Adapters/AdapterError``; ``Tensors/FileError``.
    func adapter() throws -> LoRAAdapter {
        guard let task = task.withLock({ $0.take() }) else { return try LoRAAdapter(directory: path) }
        return try task.finish()
    }
}
