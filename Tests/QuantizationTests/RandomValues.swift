import TestSupport

extension SeededGenerator {
    /// Values around 0, about normal with this standard deviation.
    mutating func values(_ count: Int, sigma: Float) -> [Float] {
        (0..<count).map { _ in
            let sum = (0..<4).reduce(Float.zero) { sum, _ in sum + Float.random(in: -1...1, using: &self) }
            return sum * sigma * 0.866
        }
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
    }
}
