extension PageScript {
    /// The page: one section at a time, and before them a table of them all where there are several.
    static let sections = #"""
        const conclusion = (section) => make("section", { class: `panel verdict ${section.tone}`, "aria-label": "Conclusion" },
          make("p", {}, make("span", { class: `pill ${section.tone}` }, section.label), " ", make("strong", {}, section.verdict[0] ?? "")),
          section.verdict.length > 1 ? make("p", {}, section.verdict.slice(1).join(" ")) : null);

        const facts = (section) => make("dl", { class: "facts" }, section.facts.map((fact) => make("div", { class: "fact" }, make("dt", {}, fact.label),
          make("dd", {}, make("div", { class: "value" }, fact.value), fact.note ? make("div", { class: "note" }, fact.note) : null))));

        const content = make("div");
        let shown = null;
        const show = (section) => {
          shown = section;
          repaint = () => {};
          if (section.rows.length === 0) {
            content.replaceChildren(conclusion(section), facts(section));
            return;
          }
          const table = tensorTable(section);
          content.replaceChildren(...[conclusion(section), facts(section), heatMap(section, table.find), survivalPanel(section), histogramPanel(section), table.element]
            .filter((part) => part !== null));
        };

        // A square for each layer, in the colour of what it kept.
        const strip = (section) => {
          const at = survivalMetric(section), layers = keptByLayer(section);
          if (layers.length === 0) return "";
          const scale = scaleOf(section.metrics[at], []);
          return make("span", { class: "strip", title: "update kept, layer by layer" }, layers.map((layer) => {
            const square = make("i", { title: `${layer.label}: ${written(section.metrics[at], layer.kept)}` });
            paint(square, scale.colour(layer.kept));
            return square;
          }));
        };

        const overview = () => {
          // The metrics that any section has, under their keys: sections need not have the same.
          const metrics = new Map(data.sections.flatMap((section) => section.metrics.filter((metric) => metric.isMain).map((metric) => [metric.key, metric])));
          const overallOf = (section, key) => {
            const index = section.metrics.findIndex((metric) => metric.key === key);
            return index < 0 ? null : section.overall[index];
          };
          const leastLayer = (section) => keptByLayer(section).reduce((least, layer) => (least === null || layer.kept < least ? layer.kept : least), null);
          const hasStrips = data.sections.some((section) => survivalMetric(section) >= 0);
          const table = sortableTable([
            { label: data.sectionNoun, text: true, value: (section) => section.name, order: "ascending", content: (section) =>
              make("button", { type: "button", class: "name", title: section.name, "aria-pressed": String(section === shown), onclick: () => choose(section) }, make("bdi", {}, section.name)) },
            { label: "conclusion", text: true, value: (section) => section.label, order: "ascending", content: (section) => make("span", { class: `pill ${section.tone}` }, section.label) },
            ...(hasStrips ? [{ label: "layers", isLeft: true, note: "Sorted by the layer that kept least.", value: leastLayer, order: "ascending", content: strip }] : []),
            ...[...metrics.values()].filter((metric) => data.sections.some((section) => overallOf(section, metric.key) !== null))
              .map((metric) => metricColumn(metric, (section) => overallOf(section, metric.key))),
          ], { label: "Overview", nothing: "" });
          table.show(data.sections);
          onThemeChange(() => table.fill());
          const noun = data.sectionNoun;
          const select = make("select", { id: "section", onchange: (event) => choose(data.sections[event.target.value]) },
            data.sections.map((section, index) => make("option", { value: index }, section.name)));
          const choose = (section) => {
            select.value = String(data.sections.indexOf(section));
            show(section);
            table.fill();
          };
          return [panel("overview", counted(data.sections.length, noun), "Over all tensors of each. Press a name, or choose one, to see it in full below.", table.element),
            make("div", { class: "controls chooser" }, make("label", { for: "section" }, `Shown below: ${noun}`, select))];
        };

        const app = document.getElementById("app");
        if (data.sections.length > 0) {
          show(data.sections[0]);
          if (data.sections.length > 1) app.append(...overview());
          app.append(content);
        }
        """#
}
