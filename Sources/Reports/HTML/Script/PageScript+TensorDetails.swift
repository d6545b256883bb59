extension PageScript {
    /// All there is to say about one tensor.
    static let tensorDetails = #"""
        const histogram = (found, label) => {
          const width = 260, height = 64, left = 2, bottom = 15;
          const bars = found.counts.length;
          // Values without an error may outnumber all others; their bar is then cut off.
          const highest = bars === 0 ? Math.max(1, found.zeros) : Math.max(1, ...found.counts);
          const slots = bars + (found.zeros > 0 ? 2 : 0);
          const step = (width - 2 * left) / Math.max(slots, 8);
          const total = found.zeros + found.counts.reduce((sum, next) => sum + next, 0);
          const drawing = make("svg", { viewBox: `0 0 ${width} ${height + bottom}`, role: "img", "aria-label": label });
          const bar = (slot, value, kind, text) => {
            const size = value === 0 ? 0 : Math.max(1, Math.min(1, value / highest) * (height - 4));
            drawing.append(make("rect", { class: kind, x: left + slot * step + 0.5, y: height - size, width: Math.max(step - 1, 0.5), height: size, rx: 1 },
              make("title", {}, text)));
          };
          const share = (value) => `${counted(value, "value")}, ${percent(value / total)} %`;
          let slot = 0;
          if (found.zeros > 0) {
            bar(0, found.zeros, "zero", `no error: ${share(found.zeros)}`);
            if (found.zeros > highest) {
              const at = height * 0.3;
              drawing.append(make("line", { class: "cut", x1: left - 1, x2: left + step + 1, y1: at + 3, y2: at - 3 }));
            }
            drawing.append(make("text", { x: left + step / 2, y: height + 12, "text-anchor": "middle" }, "0"));
            slot = 2;
          }
          const every = Math.max(1, Math.ceil(54 / step));
          found.counts.forEach((value, index) => {
            const from = 2 ** (found.first + index);
            bar(slot + index, value, "bar", `${significant(from, 2)} to ${significant(2 * from, 2)}: ${share(value)}`);
            if (index % every === 0 && left + (slot + index) * step < width - 34) {
              drawing.append(make("text", { x: left + (slot + index) * step, y: height + 12, "text-anchor": index === 0 ? "start" : "middle" }, from >= 0.1 && from < 1000 ? significant(from, 2) : from.toExponential(0)));
            }
          });
          drawing.append(make("line", { class: "axis", x1: 0, x2: width, y1: height + 0.5, y2: height + 0.5 }));
          return drawing;
        };

        // The same lines for every tensor, so that nothing jumps when one takes the place of another.
        const details = (section, row, ...actions) => make("div", { class: "detail" },
          make("h3", {}, row.name), actions,
          make("div", { class: "about" },
            make("dl", { class: "pairs" },
              make("dt", {}, "status"), make("dd", {}, row.status),
              make("dt", {}, "stored as"), make("dd", {}, row.storage),
              make("dt", {}, "shape"), make("dd", {}, row.shape),
              section.metrics.flatMap((metric, index) => [make("dt", { title: metric.note }, metric.label), make("dd", {}, written(metric, row.values[index]))])),
            row.histogram ? make("figure", {}, histogram(row.histogram, `Errors of ${row.name} by size`), make("figcaption", {}, "values by the size of their error")) : null));
        """#
}
