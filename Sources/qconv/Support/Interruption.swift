import Synchronization

#if canImport(Darwin)
import Darwin
#elseif canImport(Musl)
import Musl
#else
import Glibc
#endif

/// Ctrl-C and termination requests: the first asks the conversion to stop and clean up, a second one kills.
enum Interruption {
    private static let received = Atomic<Int32>(0)

    /// Starts to listen for SIGINT, SIGTERM and SIGHUP.
    static func listen() {
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number) { number in
                // Only what is safe in a signal handler: an atomic store, and restoring the default.
                Interruption.received.store(number, ordering: .relaxed)
                signal(number, SIG_DFL)
            }
        }
        // Whoever started us may have had them blocked, and a blocked mask is inherited.
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&signals, number) }
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
        // A write past a file size limit should be an error like any other, not the end of the process.
        signal(SIGXFSZ, SIG_IGN)
    }

    static var isRequested: Bool { received.load(ordering: .relaxed) != 0 }

    /// Ends the process as the signal would have, so that shells and schedulers see an interruption.
    ///
    /// - Parameter outcome: What the interruption leaves behind.
    static func exitAsInterrupted(saying outcome: String = "nothing was written") -> Never {
        let number = received.load(ordering: .relaxed)
        StandardError.write("qconv: interrupted; \(outcome)\n")
        signal(number, SIG_DFL)
        raise(number == 0 ? SIGINT : number)
        _exit(128 + number)
    }
}
