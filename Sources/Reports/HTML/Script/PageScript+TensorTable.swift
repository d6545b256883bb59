extension PageScript {
    /// The table of all tensors.
    static let tensorTable = #"""
        // Text anywhere in the name; with a star or a question mark, a pattern of the whole name.
        const matcher = (text) => {
          const wanted = text.trim().toLowerCase();
          if (!/[*?]/.test(wanted)) return (name) => name.toLowerCase().includes(wanted);
          const pattern = new RegExp("^" + wanted.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".") + "$");
          return (name) => pattern.test(name.toLowerCase()) || pattern.test(shortName(name.toLowerCase()));
        };

        const metricColumn = (metric, valueOf) => ({
          label: metric.label, note: metric.note, value: valueOf, order: metric.concern === "high" ? "descending" : "ascending",
          content: (row) => {
            const value = valueOf(row);
            const isSurvival = metric.concern === "survival" && value !== null;
            return isSurvival ? [make("span", { class: `dot is-${survivalOf(value)}`, title: survivalOf(value) }), written(metric, value)] : written(metric, value);
          },
        });

        const tensorTable = (section) => {
          const opened = new Set();
          const texts = [["status", (row) => row.status], ["stored as", (row) => row.storage], ["shape", (row) => row.shape]];
          const columns = (all) => [
            { label: "tensor", text: true, value: (row) => row.name, order: "ascending", content: (row) =>
              make("button", { type: "button", class: "name", title: row.name, "aria-expanded": String(opened.has(row.name)), "data-name": row.name, onclick: () => {
                if (!opened.delete(row.name)) opened.add(row.name);
                table.fill();
                table.body.querySelector(`[data-name="${CSS.escape(row.name)}"]`)?.focus();
              } }, make("bdi", {}, shorten(row.name, 60))) },
            ...texts.map(([label, value]) => ({ label, text: true, value, order: "ascending", content: value })),
            ...section.metrics.flatMap((metric, index) => ((all || metric.isMain) && section.rows.some((row) => row.values[index] !== null) ? [metricColumn(metric, (row) => row.values[index])] : [])),
          ];
          const build = (all) => sortableTable(columns(all), {
            label: "Tensors", nothing: "No tensor has such a name and status.",
            // What matters comes first: what kept least of an update, or else the largest error.
            sorted: section.metrics.some((metric) => metric.isMain) ? texts.length + 1 : null,
            under: (row) => (opened.has(row.name) ? details(section, row) : null),
          });
          let table = build(false);
          const holder = make("div", {}, table.element);

          const found = make("p", { class: "lead", role: "status" });
          const filter = make("input", { type: "search", id: "filter", placeholder: "mlp, layers.0.*.weight", autocomplete: "off", spellcheck: "false", oninput: () => fill() });
          const statuses = [...new Set(section.rows.map((row) => row.status))];
          const status = make("select", { id: "status", onchange: () => fill() },
            make("option", { value: "" }, "all"), statuses.map((name) => make("option", { value: name }, name)));
          const everything = make("input", { type: "checkbox", id: "all-figures", onchange: () => {
            table = build(everything.checked);
            holder.replaceChildren(table.element);
            fill();
          } });
          const fill = () => {
            const matches = matcher(filter.value);
            const rows = section.rows.filter((row) => matches(row.name) && (status.value === "" || row.status === status.value));
            table.show(rows);
            found.textContent = rows.length === section.rows.length ? counted(rows.length, "tensor") : `${count(rows.length)} of ${counted(section.rows.length, "tensor")}`;
          };
          fill();
          const element = panel("tensors", "Tensors", null,
            make("div", { class: "controls" }, make("label", { for: "filter" }, "Name", filter), make("label", { for: "status" }, "Status", status),
              section.metrics.every((metric) => metric.isMain) ? null : make("label", { class: "check", for: "all-figures" }, everything, "all figures")),
            found, holder);
          const find = (row) => {
            filter.value = row.name;
            status.value = "";
            opened.add(row.name);
            fill();
            element.scrollIntoView({ block: "start" });
            table.body.querySelector("button.name")?.focus({ preventScroll: true });
          };
          return { element, find };
        };
        """#
}
