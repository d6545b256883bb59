#!/usr/bin/env python3
"""An independent reader of NF4 containers: formats/nf4-container.md, the standard library and numpy.

`read_nf4_container.py FILE` lists what the file holds; with a second argument, writes the model's tensors there, decoded, one
after the other: floating-point and 4-bit tensors as float32, others as they are."""
import itertools, struct, sys, zlib
import numpy as np
DTYPES = ("BOOL F4 F6_E2M3 F6_E3M2 U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ I16 U16 F16 BF16 I32 U32 F32 C64 "
          "F64 I64 U64").split()
BITS = [8, 4, 6, 6] + [8] * 7 + [16] * 4 + [32] * 3 + [64] * 4
FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
PLANES = {"F16": 2, "BF16": 2, "F32": 4, "C64": 4, "F64": 8}
NF4 = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
       -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
       0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]
FP4 = [sign * level / 12 for sign in (1, -1) for level in (0, 0.0625, 8, 12, 4, 6, 2, 3)]
LEVELS = {"nf4": np.array(NF4, np.float32), "fp4": np.array(FP4, np.float32)}
def dynamic_map():  # the standard 256 levels of double-quantized scales
    levels = [0.0, 1.0]
    for decade in range(7):
        count = 2 ** decade
        step = float(np.float32(0.9) / np.float32(count))
        edges = [float(np.float32(0.1)) + step * i if i < (count + 1) // 2 else 1 - step * (count - i) for i in range(count + 1)]
        means = (np.array(edges[:-1], np.float32) + np.array(edges[1:], np.float32)) / np.float32(2) * np.float32(10.0 ** (decade - 6))
        levels += [*means, *-means]
    return np.sort(np.array(levels, np.float32))
class Cursor:
    def __init__(self, data): self.data, self.at = data, 0
    def bytes(self, n):
        self.at += n
        assert self.at <= len(self.data), "the index ends too early"
        return self.data[self.at - n:self.at]
    def byte(self): return self.bytes(1)[0]
    def number(self):
        return byte if (byte := self.byte()) < 128 else byte - 128 + (self.number() << 7)
    def numbers(self): return [self.number() for _ in range(self.number())]
    def string(self): return self.bytes(self.number())
    def unpack(self, form): return struct.unpack(form, self.bytes(struct.calcsize(form)))[0]
class Container:
    def __init__(self, path):
        self.data = data = open(path, "rb").read()
        assert data[:8] == b"\x89NF4\r\n\x1a\n" and zlib.crc32(data[:60]) == struct.unpack_from("<I", data, 60)[0], "no container"
        version, required, _, crc, length, offset, stored, size = struct.unpack_from("<4I4Q", data, 8)
        assert version == 1 and required & ~3 == 0 and length == len(data) == offset + stored, "unsupported, or cut off"
        index = zlib.decompress(data[offset:], -15)
        assert zlib.crc32(data[offset:]) == crc and len(index) == size, "the index is damaged"
        self.read_index(Cursor(index), aligned=required & 1, data_end=offset)
    def read_index(self, c, aligned, data_end):
        self.piece = 1 << c.byte()
        self.models, adapter_tensors, files, provenance = c.number(), c.number(), c.number(), c.number()
        self.items, name = [], b""
        for i in range(self.models + adapter_tensors + files):
            name = name[:c.number()] + c.string()
            item = {"name": name.decode(), "dtype": "U8"}
            code = c.byte() if i < self.models + adapter_tensors else 4
            item["shape"] = c.numbers() if i < self.models + adapter_tensors else [c.number()]
            item["dtype"] = DTYPES[code] if code < 64 else None
            if code >= 64:
                item.update(quant=("nf4", "fp4")[code - 64], blocksize=1 << c.byte(), source=DTYPES[c.byte()], flags=c.byte())
                item["nested"] = 1 << c.byte() if item["flags"] & 1 else None
            self.items.append(item)
        if provenance: self.items.append({"name": "(provenance)", "dtype": "U8", "shape": [c.number()]})
        for item in self.items[:self.models]:
            flags = item.get("flags", 0)
            if flags & 1: item["offset"] = np.float32(c.unpack("<f"))
            if flags & 2: item["codebook"] = np.frombuffer(c.bytes(1024), "<f4")
            if flags >> 2 & 3 == 2: item["storage"] = DTYPES[c.byte()], c.numbers()
            if flags >> 4 & 3 == 2: item["quant_state"] = c.string()
        self.metadata = {c.string().decode(): c.string().decode() for _ in range(c.number())}
        self.adapters = []
        for _ in range(c.number()):
            adapter = dict(name=c.string().decode(), weight=c.unpack("<d"), config=c.string(), tensors=c.number())
            adapter["modules"] = [dict(name=c.string().decode(), rank=c.number(), scaling=c.unpack("<d"), fan_in_fan_out=c.byte(),
                            factors=[(c.byte(), c.number()) for _ in range(c.number())]) for _ in range(c.number())]
            self.adapters.append(adapter)
        for item in self.items: item["pieces"], item["parts"] = 0, self.parts(item)
        self.chunks = []
        for _ in range(c.number()):
            members = list(np.cumsum(c.numbers()))
            items = [self.items[m] for m in members]
            chunk = {"members": members, "streams": []}
            for part in range(len(items[0]["parts"])):
                sizes = [min(i["parts"][part][1], i["parts"][part][0] - i["pieces"] * i["parts"][part][1]) for i in items]
                if sum(sizes): chunk["streams"].append(dict(sizes=sizes, method=c.byte(), stored=c.number(), crc=c.unpack("<I")))
            for item in items: item["pieces"] += 1
            self.chunks.append(chunk)
        assert c.at == len(c.data) and self.place(aligned) == data_end, "index and data disagree"
    def parts(self, item):  # (all bytes, bytes of a full piece) of each part: values; or codes, scales, scales of the scales
        n = int(np.prod(item["shape"], dtype=object))
        if item["dtype"]: return [(n * BITS[DTYPES.index(item["dtype"])] // 8, self.piece)]
        blocksize, nested = item["blocksize"], item["nested"]
        elements, scales, width = max(2 * self.piece, blocksize * (nested or 1)), -(-n // blocksize), 1 if nested else 4
        parts = [((n + 1) // 2, elements // 2), (scales * width, elements // blocksize * width)]
        return parts + ([(-(-scales // nested) * 4, elements // blocksize // nested * 4)] if nested else [])
    def place(self, aligned):
        end = 64
        for _, run in itertools.groupby(self.chunks, lambda chunk: chunk["members"] if aligned else id(chunk)):
            for streams in itertools.zip_longest(*(chunk["streams"] for chunk in run)):
                if aligned: end = -(-end // 64) * 64
                for stream in filter(None, streams): stream["at"], end = end, end + stream["stored"]
        return end
    def decode(self, chunk, part):
        stream, item = chunk["streams"][part], self.items[chunk["members"][0]]
        raw, method = self.data[stream["at"]:stream["at"] + stream["stored"]], stream["method"]
        assert zlib.crc32(raw) == stream["crc"], f"damaged: {item['name']}"
        if method == 3:
            planes, cursor = [], Cursor(raw)
            for _ in range(PLANES[item["dtype"]] if item["dtype"] else 4):
                plane = cursor.bytes((field := cursor.number()) // 2)
                planes.append(np.frombuffer(zlib.decompress(plane, -15) if field % 2 else plane, np.uint8))
            out = np.stack(planes, 1).reshape(-1)
        else: out = np.frombuffer(raw if method == 0 else zlib.decompress(raw, -15), np.uint8)
        if method == 2:  # blocks of codes, in ascending order of their scales
            order = np.argsort(self.decode(chunk, 1).view("<u1" if item["nested"] else "<u4"), kind="stable")
            half = item["blocksize"] // 2
            lengths = np.concatenate([np.minimum(half, size - np.arange(0, size, half)) for size in stream["sizes"]])
            starts, blocks = np.cumsum(lengths) - lengths, np.split(out, np.cumsum(lengths[order])[:-1])
            out = np.empty_like(out)
            for block, data in zip(order, blocks): out[starts[block]:starts[block] + len(data)] = data
        assert len(out) == sum(stream["sizes"])
        return out
    def part(self, index, part):  # all its bytes
        found = [np.empty(0, np.uint8)]
        for chunk in self.chunks:
            if index in chunk["members"] and part < len(chunk["streams"]):
                ends = np.cumsum([0] + chunk["streams"][part]["sizes"])
                place = chunk["members"].index(index)
                found.append(self.decode(chunk, part)[ends[place]:ends[place + 1]])
        return np.concatenate(found)
    def values(self, index):
        item, main = self.items[index], self.part(index, 0)
        if item["dtype"] == "BF16": return (main.view("<u2").astype(np.uint32) << 16).view(np.float32)
        if item["dtype"] in FLOATS: return main.view(FLOATS[item["dtype"]]).astype(np.float32)
        if item["dtype"]: return main
        n = int(np.prod(item["shape"], dtype=object))
        scales = self.part(index, 1)
        if item["nested"]:
            nested = np.repeat(self.part(index, 2).view("<f4"), item["nested"])[:len(scales)]
            scales = item.get("codebook", dynamic_map())[scales] * nested + item["offset"]
        codes = np.stack([main >> 4, main & 15], 1).reshape(-1)[:n]
        return LEVELS[item["quant"]][codes] * np.repeat(scales.view("<f4"), item["blocksize"])[:n]
if __name__ == "__main__":
    container = Container(sys.argv[1])
    for item in container.items: print(item["name"], item["dtype"] or item["quant"], item["shape"])
    for adapter in container.adapters: print("adapter", adapter["name"], [(m["name"], m["rank"], m["scaling"]) for m in adapter["modules"]])
    if len(sys.argv) > 2:
        open(sys.argv[2], "wb").writelines(container.values(i).tobytes() for i in range(container.models))
