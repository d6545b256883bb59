import Tensors

/// A reference to a storage, as a pickle's persistent id makes it.
struct PyTorchStorage: Hashable, Sendable {
    /// The storage's key: the name of its record, or its number in a legacy file.
    let key: String
    /// `nil` for an untyped storage, which counts bytes.
    let dtype: DType?
    /// The size in bytes of the whole storage.
    let byteCount: Int
    /// The bytes that are referred to; all but in files from before PyTorch 0.4.
    let view: Range<Int>
}

/// A tensor as a pickle describes it: a strided view of a storage. Checked to lie inside it.
struct PyTorchTensor: Hashable, Sendable {
    let storageKey: String
    let dtype: DType
    let shape: [Int]
    /// In elements; none is negative.
    let strides: [Int]
    /// The bytes of the storage from the view's first element to its last.
    let span: Range<Int>

    /// The size of the tensor's own data in bytes.
    var byteCount: Int { shape.reduce(dtype.bits / 8, *) }

    /// Whether the elements stand in the storage row-major without gaps.
    var isContiguous: Bool {
        guard !span.isEmpty else { return true }
        var expected = 1
        for (size, stride) in zip(shape, strides).reversed() where size != 1 {
            guard stride == expected else { return false }
            expected *= size
        }
        return true
    }

    /// - Parameter offset: The first element, counted from the start of the storage reference.
    /// - Throws: ``PyTorchProblem/invalidTensor(name:reason:)`` when the view does not lie in the storage.
    init(
        _ storage: PyTorchStorage, dtype: DType, offset: Int, shape: [Int], strides: [Int]
    ) throws(PyTorchProblem) {
        func invalid(_ reason: String) -> PyTorchProblem { .invalidTensor(name: nil, reason: reason) }
        let maximumDimensions = SafetensorsHeader.maximumDimensions
        guard shape.count == strides.count, shape.count <= maximumDimensions else {
            throw invalid(
                "has \(shape.count) sizes and \(strides.count) strides; at most \(maximumDimensions) are read")
        }
        guard offset >= 0, strides.allSatisfy({ $0 >= 0 }), shape.allSatisfy({ $0 >= 0 }) else {
            throw invalid("has a negative size, stride or offset")
        }
        let width = dtype.bits / 8
        guard let count = checkedElementCount(shape), let byteCount = dtype.byteCount(elements: count) else {
            throw invalid("\(shape) is larger than any file")
        }
        storageKey = storage.key
        self.dtype = dtype
        self.shape = shape
        self.strides = strides
        guard count > 0 else {
            span = storage.view.lowerBound..<storage.view.lowerBound
            return
        }
        guard byteCount <= storage.view.count else {
            throw invalid(
                """
                \(dtype.rawValue) \(shape) has \(byteCount) bytes, more than the \(storage.view.count) of its storage; \
                save it after .contiguous()
                """)
        }
        var last = offset
        for (size, stride) in zip(shape, strides) {
            let (distance, tooFar) = (size - 1).multipliedReportingOverflow(by: stride)
            let (sum, overflow) = last.addingReportingOverflow(distance)
            guard !tooFar, !overflow else { throw invalid("\(shape) with strides \(strides) is larger than any file") }
            last = sum
        }
        guard last < storage.view.count / width else {
            throw invalid(
                "\(shape) with strides \(strides) from element \(offset) on goes beyond its storage's \(storage.view.count) bytes"
            )
        }
        span = storage.view.lowerBound + offset * width..<storage.view.lowerBound + (last + 1) * width
    }

    /// Copies a range of the tensor's bytes, row-major, out of the bytes of its span.
    ///
    /// - Precondition: the range lies within the tensor.
    func gather(from bytes: UnsafeRawBufferPointer, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) {
        let width = dtype.bits / 8
        var coordinates = shape
        var rest = offset / width
        for axis in shape.indices.reversed() {
            (rest, coordinates[axis]) = rest.quotientAndRemainder(dividingBy: shape[axis])
        }
        var element = zip(coordinates, strides).reduce(0) { $0 + $1.0 * $1.1 }
        var skipped = offset % width
        var done = 0
        while done < buffer.count {
            let count = min(width - skipped, buffer.count - done)
            let start = element * width + skipped
            UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[start..<start + count]))
            done += count
            skipped = 0
            for axis in shape.indices.reversed() {
                coordinates[axis] += 1
                element += strides[axis]
                guard coordinates[axis] == shape[axis] else { break }
                element -= coordinates[axis] * strides[axis]
                coordinates[axis] = 0
            }
        }
    }
}
