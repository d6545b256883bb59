import Foundation
import Reports
import TestSupport
import Testing

@Suite struct NumberTextTests {
    @Test(arguments: [
        (0.0, 2, "0.00"), (-0.0, 1, "0.0"), (2.5, 0, "3"), (-2.5, 0, "-3"), (1.005, 2, "1.01"), (0.125, 2, "0.13"),
        (9.99, 1, "10.0"), (99.95, 1, "100.0"), (0.04, 1, "0.0"), (-0.04, 1, "0.0"), (0.05, 1, "0.1"), (0.5, 0, "1"),
        (0.4, 0, "0"), (1234567.891, 2, "1234567.89"), (1e20, 1, "100000000000000000000.0"), (1e-9, 3, "0.000"),
        (.nan, 1, "nan"), (.infinity, 1, "inf"), (-.infinity, 1, "-inf"),
    ])
    func fixed(value: Double, decimals: Int, text: String) {
        #expect(NumberText.fixed(value, decimals: decimals) == text)
    }

    @Test func fixedAgreesWithPrintf() {
        var random = SeededGenerator(seed: 7)
        for _ in 0..<5000 {
            let value = random.uniform() * pow(10, Double(Int(random.next() % 12)) - 4)
            for decimals in 0...5 {
                let text = NumberText.fixed(value, decimals: decimals)
                let expected = String(format: "%.\(decimals)f", value)
                #expect(text == expected || Double(text) == 0 && Double(expected) == 0)
            }
        }
    }

    @Test(arguments: [
        (0.0, 3, "0"), (0.0123456, 3, "0.0123"), (3e-8, 3, "3.00e-08"), (0.000999, 3, "9.99e-04"),
        (0.0009999, 3, "0.00100"),
        (4.9, 3, "4.90"), (9.999, 3, "10.0"), (123456.0, 3, "123000"), (1234567.0, 3, "1.23e+06"), (-0.5, 1, "-0.5"),
        (1e-100, 1, "1e-100"),
    ])
    func significant(value: Double, digits: Int, text: String) {
        #expect(NumberText.significant(value, digits: digits) == text)
    }

    @Test(arguments: [
        (0.0493, "4.93 %"), (0.98, "98.0 %"), (1.0, "100 %"), (0.0, "0 %"), (0.0012, "0.12 %"), (0.00996, "0.996 %"),
        (0.009, "0.90 %"), (3e-8, "3.0e-06 %"),
        (12.0, "1200 %"),
    ])
    func percent(fraction: Double, text: String) {
        #expect(NumberText.percent(fraction) == text)
    }

    @Test(arguments: [
        (0.98, "98 %"), (0.89999, "89.9 %"), (0.9, "90 %"), (0.99999, "99.9 %"), (1.0, "100 %"), (1.0234, "102.3 %"),
        (0.0, "0 %"), (0.0004, "0 %"), (-0.0004, "0 %"), (-0.25, "-25 %"), (0.02, "2 %"), (0.29999999999999999, "30 %"),
    ])
    func percentCutOff(fraction: Double, text: String) {
        #expect(NumberText.percentCutOff(fraction) == text)
    }

    @Test func percentInAColumnKeepsItsDecimal() {
        #expect(NumberText.percentCutOff(0.98, trimmed: false) == "98.0 %")
    }

    @Test(arguments: [
        (0, "0 bytes"), (999, "999 bytes"), (1000, "1.00 kB"), (999_499, "999 kB"), (999_500, "1.00 MB"),
        (9_994_999, "9.99 MB"), (9_996_000, "10.0 MB"), (99_960_000, "100 MB"), (73_212_345, "73.2 MB"),
        (5_000_000_000, "5.00 GB"), (.max, "9.22 EB"),
    ])
    func bytes(count: Int, text: String) {
        #expect(NumberText.bytes(count) == text)
    }

    @Test(arguments: [(1023, "1023 bytes"), (1024, "1.00 KiB"), (61_100_000, "58.3 MiB"), (209_715_200, "200 MiB")])
    func memory(count: Int, text: String) {
        #expect(NumberText.memory(count) == text)
    }

    @Test(arguments: [(0, "0"), (9999, "9999"), (10_000, "10.0 k"), (134_515_008, "135 M"), (7_241_732_096, "7.24 G")])
    func count(count: Int, text: String) {
        #expect(NumberText.count(count) == text)
    }

    @Test(arguments: [
        (0.0, "0.00 s"), (0.312, "0.31 s"), (9.994, "9.99 s"), (9.996, "10.0 s"), (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (185.4, "3 min 05 s"), (3599.4, "59 min 59 s"), (3599.6, "1 h 00 min"), (3720.0, "1 h 02 min"), (.nan, "--"),
        (-1.0, "--"),
    ])
    func duration(seconds: Double, text: String) {
        #expect(NumberText.duration(seconds: seconds) == text)
    }
}
