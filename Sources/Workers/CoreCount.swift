#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// The cores this process may run on. Asking takes longer than reading a small checkpoint's header, so it is done once.
package let coreCount = ProcessInfo.processInfo.activeProcessorCount
