import ArgumentParser
import Pipeline

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// The share of the work that this process has.
struct PartOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Convert the i-th of n shares only, or with auto the one that a Slurm array, a Kubernetes indexed job or an AWS Batch array gives this process; then \"qconv batch finish\" puts them together.",
            valueName: "i/n"))
    var part: String?

    func value() throws -> Part? {
        guard let part else { return nil }
        var environment: [String: String] = [:]
        for name in Part.environmentVariables {
            if let value = getenv(name) { environment[name] = String(cString: value) }
        }
        return try Part(parsing: part, environment: environment)
    }
}
