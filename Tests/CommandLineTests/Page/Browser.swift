import Foundation
import LosslessJSON
import Testing

/// A page in a headless Chromium, driven by the DevTools protocol.
///
/// Errors and requests of the page are collected from before it loads.
final class Browser {
    enum Theme: String, CaseIterable, Sendable { case light, dark }

    private let pipe: DevToolsPipe
    private let target: JSONValue
    private let session: String
    private var isLoaded = false
    /// Exceptions, errors and warnings in the page's console.
    private(set) var problems: [String] = []
    /// What the page at hand asked for, itself first.
    private(set) var requests: [String] = []

    /// Where Chromium is: `QCONV_CHROMIUM`, or a usual name in `PATH`.
    static let executable: String? = {
        let environment = ProcessInfo.processInfo.environment
        if let path = environment["QCONV_CHROMIUM"] { return path }
        let folders = (environment["PATH"] ?? "").split(separator: ":")
        let names = ["chromium", "chromium-browser", "google-chrome", "chrome"]
        return names.lazy.flatMap { name in folders.map { "\($0)/\(name)" } }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }()

    /// Whether the tests of the page can run. With `QCONV_REQUIRE_BROWSER` set they must.
    static let isThere = executable != nil || ProcessInfo.processInfo.environment["QCONV_REQUIRE_BROWSER"] != nil

    /// Opens a page of a size in CSS pixels.
    init(_ page: URL, theme: Theme = .light, width: Int = 1200, height: Int = 1000) throws {
        pipe = try DevToolsPipe.shared.get()
        target = try pipe.call("Target.createTarget", ["url": "about:blank"])["targetId"] ?? .null
        let attached = try pipe.call("Target.attachToTarget", ["targetId": target, "flatten": true])
        session = try #require(attached["sessionId"]?.string)
        for domain in ["Runtime", "Log", "Network", "Page"] { try call("\(domain).enable") }
        try set(theme)
        try resize(width: width, height: height)
        try open(page)
    }

    deinit {
        _ = try? pipe.call("Target.closeTarget", ["targetId": target])
    }

    @discardableResult
    private func call(_ method: String, _ parameters: JSONValue = [:]) throws -> JSONValue {
        let result = try pipe.call(method, parameters, session: session)
        takeEvents()
        return result
    }

    private func takeEvents() {
        // Those of a page that has been closed may still come.
        for event in pipe.takeEvents() where event["sessionId"]?.string == session {
            take(event["method"]?.string ?? "", event["params"] ?? [:])
        }
    }

    /// Notes what an event tells.
    private func take(_ event: String, _ parameters: JSONValue) {
        switch event {
        case "Page.loadEventFired": isLoaded = true
        case "Runtime.exceptionThrown":
            let details = parameters["exceptionDetails"]
            problems.append(details?["exception"]?["description"]?.string ?? details?["text"]?.string ?? "exception")
        case "Runtime.consoleAPICalled" where ["error", "warning", "assert"].contains(parameters["type"]?.string):
            problems.append("console: \(parameters["args"]?.serialized() ?? "")")
        case "Log.entryAdded" where ["error", "warning"].contains(parameters["entry"]?["level"]?.string):
            problems.append("log: \(parameters["entry"]?["text"]?.string ?? "")")
        case "Network.requestWillBeSent":
            requests.append(parameters["request"]?["url"]?.string ?? "")
        default: break
        }
    }

    // MARK: - The reader's side

    /// Goes to a page and waits until it has loaded.
    func open(_ page: URL) throws {
        isLoaded = false
        requests = []
        try call("Page.navigate", ["url": .string(page.absoluteString)])
        while !isLoaded {
            try pipe.waitForEvent()
            takeEvents()
        }
    }

    func set(_ theme: Theme) throws {
        try call(
            "Emulation.setEmulatedMedia",
            ["features": [["name": "prefers-color-scheme", "value": .string(theme.rawValue)]]])
    }

    func resize(width: Int, height: Int) throws {
        try call(
            "Emulation.setDeviceMetricsOverride",
            ["width": .int(width), "height": .int(height), "deviceScaleFactor": 1, "mobile": false])
    }

    /// Presses the mouse on the middle of an element.
    func click(_ selector: String) throws {
        let place = try point(of: selector)
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            try mouse(kind, at: place, button: kind == "mouseMoved" ? "none" : "left")
        }
    }

    /// Moves the mouse to the middle of an element.
    func hover(_ selector: String) throws { try mouse("mouseMoved", at: point(of: selector), button: "none") }

    private func mouse(_ kind: String, at place: (x: Double, y: Double), button: String) throws {
        try call(
            "Input.dispatchMouseEvent",
            [
                "type": .string(kind), "x": .double(place.x), "y": .double(place.y), "button": .string(button),
                "clickCount": button == "none" ? 0 : 1,
            ])
    }

    /// The middle of an element, after scrolling it into view; the page must show that very element there.
    private func point(of selector: String) throws -> (x: Double, y: Double) {
        let found = try evaluate(
            """
            (() => {
              const element = document.querySelector(\(Browser.quoted(selector)));
              if (!element) return null;
              element.scrollIntoView({ block: "center", inline: "center" });
              const box = element.getBoundingClientRect();
              const x = box.left + box.width / 2, y = box.top + box.height / 2;
              const top = document.elementFromPoint(x, y);
              return { x, y, isOnTop: element.contains(top) || top?.contains(element) };
            })()
            """)
        let x = try #require(found["x"]?.double, "nothing on the page is \(selector)")
        let y = try #require(found["y"]?.double)
        try #require(found["isOnTop"]?.bool == true, "something covers \(selector)")
        return (x, y)
    }

    /// Types text into whatever has the focus.
    func type(_ text: String) throws { try call("Input.insertText", ["text": .string(text)]) }

    /// Presses a key: `ArrowRight`, `Enter`, `Tab`.
    func press(_ key: String, code: Int) throws {
        for kind in ["rawKeyDown", "char", "keyUp"] where kind != "char" || key == "Enter" {
            try call(
                "Input.dispatchKeyEvent",
                [
                    "type": .string(kind), "key": .string(key), "code": .string(key),
                    "windowsVirtualKeyCode": .int(code), "text": .string(kind == "char" ? "\r" : ""),
                ])
        }
    }

    /// Chooses an entry of a list, as the list itself would after a reader's choice.
    func choose(_ label: String, in selector: String) throws {
        let isThere = try evaluate(
            """
            (() => {
              const list = document.querySelector(\(Browser.quoted(selector)));
              const entry = [...list.options].find((option) => option.label === \(Browser.quoted(label)));
              if (!entry) return false;
              list.value = entry.value;
              list.dispatchEvent(new Event("change", { bubbles: true }));
              return true;
            })()
            """)
        try #require(isThere.bool == true, "no \(label) in \(selector)")
    }

    // MARK: - What the page shows

    /// The value of a JavaScript expression.
    func evaluate(_ expression: String) throws -> JSONValue {
        let answer = try call(
            "Runtime.evaluate", ["expression": .string(expression), "returnByValue": true, "awaitPromise": true])
        if let details = answer["exceptionDetails"] {
            Issue.record("\(details["exception"]?["description"]?.string ?? "exception") in \(expression)")
        }
        return answer["result"]?["value"] ?? .null
    }

    /// The text of every element that a selector finds.
    func texts(_ selector: String) throws -> [String] {
        try evaluate("[...document.querySelectorAll(\(Browser.quoted(selector)))].map((found) => found.innerText)")
            .array?.compactMap(\.string) ?? []
    }

    func count(_ selector: String) throws -> Int {
        try evaluate("document.querySelectorAll(\(Browser.quoted(selector))).length").int ?? -1
    }

    static func quoted(_ text: String) -> String { JSONValue.string(text).serialized() }
}
