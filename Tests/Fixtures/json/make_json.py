"""Makes the fixtures of LosslessJSONTests: what Python's json writes. Output is deterministic."""

import json
import os
import random
import struct

HERE = os.path.dirname(os.path.abspath(__file__))


def write(name, text):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as file:
        file.write(text)


def doubles():
    """Bit patterns and their repr: edges of the layouts, powers, float32 values as double, random bits."""
    values = [0.0, -0.0, 1.0, -1.0, 0.1, 1e-4, 9.999e-5, 1e-5, 1e15, 1e16, 123456789012345680.0, 9999999999999998.0,
              5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1e22, 1e23, 0.0125, 1e-6, 6.0, 100.0, 1e100]
    values += [10.0**k for k in range(-30, 30)] + [2.0**k for k in range(-1074, 1024, 97)]
    randomness = random.Random(1)
    while len(values) < 1500:
        if len(values) % 2:
            value = struct.unpack("<d", randomness.randbytes(8))[0]
        else:
            value = float(struct.unpack("<f", randomness.randbytes(4))[0])
        if value == value and abs(value) != float("inf"):
            values.append(value)
    lines = [f"{struct.unpack('<Q', struct.pack('<d', value))[0]:016x} {value!r}" for value in values]
    write("python-repr.txt", "\n".join(lines) + "\n")


def layouts():
    document = {
        "text": "quote \" backslash \\ slash / tab \t newline \n bell \x07 delete \x7f é 漢 😀 \u2028",
        "empty": [{}, [], ""], "nested": {"list": [1, 2.5, [True, False, None]], "object": {"a": {"b": -0.0}}},
        "numbers": [1e-06, 1000000000000000019884624838656, 1e16, 0.1], "é": "key",
    }
    write("one-line.json", json.dumps(document))
    write("indented.json", json.dumps(document, indent=2))
    write("compact.json", json.dumps(document, separators=(",", ":"), ensure_ascii=False))


if __name__ == "__main__":
    doubles()
    layouts()
