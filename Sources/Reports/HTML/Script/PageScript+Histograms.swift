extension PageScript {
    /// Errors by size, of all tensors and of each module.
    static let histograms = #"""
        const histogramPanel = (section) => {
          const groups = new Map();
          const add = (name, found) => {
            if (!groups.has(name)) groups.set(name, { zeros: 0, bins: new Map(), tensors: 0 });
            const group = groups.get(name);
            group.zeros += found.zeros;
            group.tensors += 1;
            found.counts.forEach((value, index) => group.bins.set(found.first + index, (group.bins.get(found.first + index) ?? 0) + value));
          };
          const everything = "all tensors";
          for (const row of section.rows) {
            if (!row.histogram) continue;
            add(everything, row.histogram);
            add(moduleNamed(row.name), row.histogram);
          }
          if (groups.size === 0) return null;
          // All figures have one axis. What holds less than a millionth of all values is not worth the room at its ends.
          const total = (group) => group.zeros + [...group.bins.values()].reduce((sum, next) => sum + next, 0);
          const bins = groups.get(everything).bins, whole = total(groups.get(everything));
          const shown = [...bins.keys()].filter((exponent) => bins.get(exponent) > whole / 1e6);
          if (shown.length === 0) return null;
          const first = Math.min(...shown), last = Math.max(...shown);
          // One module alone looks like all of them.
          const listed = [...groups].slice(0, groups.size === 2 ? 1 : 25);
          const figures = listed.map(([name, group]) => {
            const counts = Array.from({ length: last - first + 1 }, (_, index) => group.bins.get(first + index) ?? 0);
            const zeros = group.zeros === 0 ? "" : `, ${percent(group.zeros / total(group))} % without error`;
            return make("figure", {}, histogram({ zeros: group.zeros, first, counts }, `Errors of ${name} by size`),
              make("figcaption", {}, make("b", { title: name }, shorten(name, 40)), (group.tensors > 1 ? `, ${group.tensors} tensors` : "") + zeros));
          });
          const rest = groups.size - 1 > 24 ? make("p", { class: "hint" }, `${count(groups.size - 25)} more modules are not drawn; each tensor's errors are in the table below.`) : null;
          return panel("errors", "Errors by size",
            "How many values have an error of which size, from one power of two to the next, in the unit of the weights. Grey: no error; the bar is cut where it is higher than all others.",
            make("div", { class: "small-multiples" }, figures), rest);
        };
        """#
}
