extension PageScript {
    /// What became of the adapter, layer by layer.
    static let survival = #"""
        // Bars end at 110 %: a stochastic merge scatters around all of the update.
        const barEnd = 1.1;
        const barShare = (kept) => `${(Math.max(0, Math.min(barEnd, kept)) / barEnd) * 100}%`;

        document.documentElement.style.setProperty("--erased-end", barShare(data.erasedBelow));
        document.documentElement.style.setProperty("--thinned-end", barShare(data.thinnedBelow));

        const survivalTable = (metric, layers, nameOf) => make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Survival by layer" },
          make("table", { class: "survival" },
            make("thead", {}, make("tr", {}, ["layer", "", "kept", "least"].map((title, index) => make("th", { scope: "col", class: index === 3 ? "least" : null }, title)))),
            make("tbody", {}, layers.map((layer) => {
              const kind = survivalOf(layer.kept);
              return make("tr", {}, make("th", { scope: "row" }, nameOf(layer)),
                make("td", { class: "track" }, make("div", { "aria-hidden": "true" }, make("i", { class: `is-${kind}`, style: `width: ${barShare(layer.kept)}` }))),
                make("td", {}, make("span", { class: `dot is-${kind}`, "aria-hidden": "true" }), `${written(metric, layer.kept)} ${kind}`),
                make("td", { class: "least" }, `${written(metric, layer.least)} in ${shorten(moduleNamed(layer.leastName), 40)}`));
            }))));

        // Of many layers, a column each.
        const survivalColumns = (metric, layers, nameOf) => {
          const every = [1, 2, 5, 10, 20, 50].find((step) => layers.length / step <= 32);
          return make("div", { class: "columns", role: "img", "aria-label": `The share of the update kept by ${counted(layers.length, "layer")}` },
            make("div", { class: "grid" }, [data.thinnedBelow, data.erasedBelow].map((share) => make("span", { style: `bottom: ${barShare(share)}` }, `${share * 100} %`))),
            make("div", { class: "bars" }, layers.map((layer, index) => make("div", { title: `${nameOf(layer)}: ${written(metric, layer.kept)} kept, least ${written(metric, layer.least)} in ${moduleNamed(layer.leastName)}` },
              make("i", { class: `is-${survivalOf(layer.kept)}`, style: `height: ${barShare(layer.kept)}` }),
              make("b", { style: `bottom: ${barShare(layer.least)}` }),
              make("span", {}, index % every === 0 ? layer.label.split(".").at(-1) : "")))));
        };

        const survivalPanel = (section) => {
          const at = survivalMetric(section);
          const layers = keptByLayer(section);
          if (layers.length === 0) return null;
          const metric = section.metrics[at];
          const isSplit = new Set(layers.map((layer) => layer.stack)).size > 1;
          const nameOf = (layer) => (isSplit && layer.stack ? `${layer.stack} ${layer.label}` : layer.label);
          const bands = `The shades behind the bars stand for erased (below ${data.erasedBelow * 100} %), thinned, and kept (from ${data.thinnedBelow * 100} % on).`;
          const title = "The adapter, layer by layer";
          if (layers.length <= 12) return panel("survival", title, `How much of the adapter's update is in the result. ${bands}`, survivalTable(metric, layers, nameOf));
          return panel("survival", title, `How much of the adapter's update is in the result; the lines across the bars are the layer's least tensor. ${bands}`,
            survivalColumns(metric, layers, nameOf), make("details", {}, make("summary", {}, "The same as a table"), survivalTable(metric, layers, nameOf)));
        };
        """#
}
