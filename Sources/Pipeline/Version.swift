/// The version of qconv, as it stands in reports and in `qconv --version`.
public let qconvVersion = "0.1.0"
