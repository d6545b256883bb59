"""Applies or reverts a patch, written from formats/patch.md alone: python3 read_patch.py apply|revert SOURCE PATCH OUT

SOURCE is a directory with model.safetensors or shards and their index, OUT a directory to make. Slow: a program to check the
specification with, not to use.
"""

import hashlib
import json
import os
import struct
import sys
import zlib

WIDTHS = {name: 2 for name in ("F16", "BF16", "I16", "U16")}
WIDTHS |= {name: 4 for name in ("F32", "C64", "I32", "U32")} | {name: 8 for name in ("F64", "I64", "U64")}
LEVELS = {"nf4": list(range(16)), "fp4": [11, 10, 13, 12, 15, 14, 9, 8, 0, 1, 6, 7, 4, 5, 2, 3]}


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert self.at + count <= len(self.data), "ends too early"
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def u32(self):
        return struct.unpack("<I", self.take(4))[0]

    def bytes(self):
        return self.take(self.number())

    def string(self):
        return self.bytes().decode()


def entries(header):
    tensors = [(name, t) for name, t in json.loads(header).items() if name != "__metadata__"]
    return [
        {"name": name, "dtype": t["dtype"], "shape": t["shape"], "begin": t["data_offsets"][0], "size": t["data_offsets"][1] - t["data_offsets"][0]}
        for name, t in sorted(tensors, key=lambda pair: pair[1]["data_offsets"])
    ]


def read_tree(cursor, twins):
    files = []
    for _ in range(cursor.number()):
        name, size, twin = cursor.string(), cursor.number(), cursor.number()
        header = twins[twin - 1]["header"] if twin else cursor.bytes()
        files.append({"name": name, "size": size, "header": header, "entries": entries(header)})
    return files


def quant_state(name):
    head, found, kind = name.rpartition(".quant_state.bitsandbytes__")
    return (head, kind) if found and head and kind in LEVELS else None


def kinds(tree):
    found = {}
    for entry in (e for file in tree for e in file["entries"]):
        state = quant_state(entry["name"])
        if state:
            found[entry["name"]] = "state"
            found[state[0]] = state[1]
    return lambda entry: found.get(entry["name"]) or WIDTHS.get(entry["dtype"], 1)


def make_items(base, target):
    of_base = [e for file in base for e in file["entries"]]
    by_name = {e["name"]: e for e in of_base}
    kind, items, paired = kinds(target), [], set()
    for entry in (e for file in target for e in file["entries"]):
        twin = by_name.get(entry["name"])
        both = twin is not None and twin["size"] == entry["size"]
        if both:
            paired.add(entry["name"])
        items.append((entry["name"], kind(entry), entry["size"], "bt" if both else "t"))
    kind = kinds(base)
    items += [(e["name"], kind(e), e["size"], "b") for e in of_base if e["name"] not in paired]
    return [i for i in items if i[1] != "state"], [i for i in items if i[1] == "state"]


def make_chunks(items, piece):
    chunks, shared = [], {}
    for number, (_, kind, size, sides) in enumerate(items):
        if size >= piece:
            chunks += [(number, start // piece, [(number, start, min(size, start + piece))]) for start in range(0, size, piece)]
        elif size:
            group = shared.setdefault((kind, sides), [])
            if sum(end for _, _, end in group) + size > piece:
                chunks.append((group[-1][0], 0, group))
                group = shared[(kind, sides)] = []
            group.append((number, 0, size))
    chunks += [(group[-1][0], 0, group) for group in shared.values() if group]
    return [members for _, _, members in sorted(chunks)]


def inflate(data):
    return zlib.decompress(data, -15)


def planes(data, size, width):
    cursor, result = Cursor(data), bytearray(size)
    for plane in range(width):
        tag = cursor.number()
        stored = cursor.take(tag // 2)
        result[plane::width] = inflate(stored) if tag & 1 else stored
    assert cursor.at == len(data)
    return bytes(result)


def move(codes, symbols, levels, sign):
    codes, at = bytearray(codes), 0
    rank = {code: level for level, code in enumerate(levels)}
    for symbol in symbols:
        if symbol >= 240:
            at += 1 << (symbol - 240)
            continue
        assert symbol <= 236, "no symbol"
        at += symbol // 2 if symbol < 224 else 0
        step = symbol - 222 if symbol >= 224 else (-1 if symbol & 1 else 1)
        shift = 0 if at & 1 else 4
        code = levels[(rank[codes[at // 2] >> shift & 15] + sign * step) % 16]
        codes[at // 2] = codes[at // 2] & (15 << (4 - shift)) | code << shift
        at += 1
    assert at <= 2 * len(codes)
    return bytes(codes)


def decode(stream, kind, sides, source, size, sign):
    if not stream:
        return source
    width = kind if isinstance(kind, int) else 1
    method, data = stream[0], stream[1:]
    if method in (4, 5):
        cursor = Cursor(data)
        count = cursor.number()
        symbols = data[cursor.at :] if method == 4 else inflate(data[cursor.at :])
        assert len(symbols) == count
        return move(source, symbols, LEVELS[kind], sign)
    plain = {0: lambda: data, 1: lambda: inflate(data), 3: lambda: planes(data, size, width)}[method]()
    assert len(plain) == size
    if sides != "bt":
        return plain
    form = "<%d%s" % (size // width, {1: "B", 2: "H", 4: "I", 8: "Q"}[width])
    change = [-(z + 1) // 2 if z & 1 else z // 2 for z in struct.unpack(form, plain)]
    mask = (1 << 8 * width) - 1
    return struct.pack(form, *((n + sign * c) & mask for n, c in zip(struct.unpack(form, source), change)))


def number(value):
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def text(value):
    return number(len(value.encode())) + value.encode()


def digest(tree, data, piece):
    total = hashlib.sha256()
    for entry in sorted((e for file in tree for e in file["entries"]), key=lambda e: e["name"].encode()):
        total.update(text(entry["name"]) + text(entry["dtype"]) + number(len(entry["shape"])))
        total.update(b"".join(number(d) for d in entry["shape"]))
        content = data[entry["name"]]
        for start in range(0, len(content), piece):
            total.update(hashlib.sha256(content[start : start + piece]).digest())
    return total.digest()


def read_source(directory):
    tensors = {}
    for name in os.listdir(directory):
        if name.endswith(".safetensors"):
            with open(os.path.join(directory, name), "rb") as file:
                length = struct.unpack("<Q", file.read(8))[0]
                header, data = file.read(length), file.read()
            for e in entries(header):
                tensors[e["name"]] = data[e["begin"] : e["begin"] + e["size"]]
    return tensors


def main(command, source, patch, out):
    with open(patch, "rb") as file:
        data = file.read()
    assert data[:8] == b"\x89QPT\r\n\x1a\n" and struct.unpack("<I", data[60:64])[0] == zlib.crc32(data[:60])
    version, required, _, checksum, start, stored, size = struct.unpack("<IIIIQQQ", data[8:48])
    assert version == 1 and required == 0 and start + stored == len(data) and zlib.crc32(data[start:]) == checksum
    index = inflate(data[start:])
    assert len(index) == size
    cursor = Cursor(index)
    piece = 1 << cursor.take(1)[0]
    base = read_tree(cursor, [])
    target = read_tree(cursor, base)
    side_files = []
    for _ in range(cursor.number()):
        name, state = cursor.string(), cursor.take(1)[0]
        if state == 0:
            side_files.append((name, "same", (cursor.number(), cursor.take(32))))
        else:
            first = cursor.bytes()
            second = {1: lambda: first, 2: lambda: None, 3: lambda: None, 4: cursor.bytes}[state]()
            side_files.append((name, "held", (None, first) if state == 3 else (first, second)))
    digests = cursor.take(32), cursor.take(32)

    forward = command == "apply"
    there, here = ("t", "b") if forward else ("b", "t")
    known, made, at = read_source(source), {}, 64
    for items in make_items(base, target):
        for members in make_chunks(items, piece):
            kind, sides = items[members[0][0]][1], items[members[0][0]][3]
            sums = []
            for _ in members:
                before = cursor.u32() if "b" in sides else 0
                sums.append({"b": before, "t": (cursor.u32() ^ before) if "t" in sides else 0})
            length = cursor.number()
            stream = data[at : at + length]
            assert not length or cursor.u32() == zlib.crc32(stream)
            at += length
            parts = [known[items[i][0]][a:b] if here in sides else bytes(b - a) for i, a, b in members]
            for part, checks in zip(parts, sums):
                assert here not in sides or zlib.crc32(part) == checks[here], "not the right source"
            if there not in sides:
                continue
            whole = b"".join(parts)
            result = decode(stream, kind, sides, whole, len(whole), 1 if forward else -1)
            position = 0
            for (i, a, b), checks in zip(members, sums):
                part = result[position : position + b - a]
                assert zlib.crc32(part) == checks[there]
                made[items[i][0]] = made.get(items[i][0], b"") + part
                position += b - a
    assert cursor.at == len(index) and at == start

    for entry in (e for file in base + target for e in file["entries"] if e["size"] == 0):
        known.setdefault(entry["name"], b"")
        made.setdefault(entry["name"], b"")
    trees = (base, target) if forward else (target, base)
    assert digest(trees[0], known, piece) == digests[0 if forward else 1]
    assert digest(trees[1], made, piece) == digests[1 if forward else 0]
    os.makedirs(out)
    for file in trees[1]:
        with open(os.path.join(out, file["name"]), "wb") as output:
            output.write(struct.pack("<Q", len(file["header"])) + file["header"])
            output.write(b"".join(made[e["name"]] for e in file["entries"]))
    for name, state, content in side_files:
        if state == "same":
            with open(os.path.join(source, name), "rb") as file:
                held = file.read()
            assert (len(held), hashlib.sha256(held).digest()) == content, name
        else:
            held = content[1 if forward else 0]
        if held is not None:
            os.makedirs(os.path.dirname(os.path.join(out, name)), exist_ok=True)
            with open(os.path.join(out, name), "wb") as file:
                file.write(held)


if __name__ == "__main__":
    main(*sys.argv[1:])
