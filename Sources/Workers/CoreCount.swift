#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// The cores this process may run on.
package var coreCount: Int { ProcessInfo.processInfo.activeProcessorCount }
