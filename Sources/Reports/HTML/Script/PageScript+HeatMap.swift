extension PageScript {
    /// The map of modules × layers for a figure of the reader's choice.
    static let heatMap = #"""
        // The tensors that have a figure, by stack, module and layer; and those that stand in no layer.
        const stacksOf = (section, at) => {
          const stacks = new Map(), outside = [];
          for (const row of section.rows) {
            if (row.values[at] === null) continue;
            const found = place(row.name);
            if (found === null) { outside.push(row); continue; }
            if (!stacks.has(found.stack)) stacks.set(found.stack, new Map());
            const modules = stacks.get(found.stack);
            if (!modules.has(found.module)) modules.set(found.module, new Map());
            const layers = modules.get(found.module);
            if (!layers.has(found.layer)) layers.set(found.layer, []);
            layers.get(found.layer).push(row);
          }
          return { stacks, outside };
        };

        const heatMap = (section, findInTable) => {
          // A figure that is 0 everywhere makes no map.
          const offered = section.metrics.map((_, index) => index).filter((index) => section.rows.some((row) => row.values[index]));
          if (offered.length === 0) return null;
          const survival = survivalMetric(section);
          let chosen = offered.includes(survival) ? survival : offered[0];
          let pinned = null;
          const maps = make("div", { class: "maps", onmouseleave: () => rest() });
          const side = make("div", { "aria-live": "polite" });
          const box = make("div", { class: "beside" }, maps, side);
          const note = make("p", { class: "lead" });
          const show = (row) => side.replaceChildren(details(section, row,
            make("button", { type: "button", class: "button", onclick: () => findInTable(row) }, "Find in the table")));
          const rest = () => {
            const row = section.rows.find((row) => row.name === pinned) ?? worstOf(section.metrics[chosen], chosen, section.rows);
            if (row) show(row);
          };

          const field = (metric, scale, rows, label, content) => {
            const worst = worstOf(metric, chosen, rows);
            if (worst === null) return null;
            const value = worst.values[chosen];
            const text = `${label}: ${metric.label} ${written(metric, value)}` + (rows.length > 1 ? `, the worst of ${rows.length}` : "");
            const button = make("button", {
              type: "button", class: "field", title: text, "aria-label": text, "aria-pressed": String(pinned === worst.name), "data-tensor": worst.name,
              onfocus: () => show(worst), onmouseenter: () => show(worst),
              onclick: (event) => {
                pinned = pinned === worst.name ? null : worst.name;
                for (const other of maps.querySelectorAll(".field")) other.setAttribute("aria-pressed", String(other.dataset.tensor === pinned));
                event.currentTarget.focus();
                show(worst);
              },
            }, content(value));
            paint(button, scale.colour(value));
            return button;
          };

          // As wide as there is room for; of very many layers only the colours are left.
          const roomFor = (layers) => (layers <= 4 ? 5 : layers <= 8 ? 3.6 : layers <= 16 ? 2.6 : layers <= 40 ? 1.75 : Math.max(0.5, 54 / layers));
          const map = (metric, scale, name, modules) => {
            const layers = [...new Set([...modules.values()].flatMap((found) => [...found.keys()]))].sort((left, right) => left - right);
            const room = roomFor(layers.length), isDense = layers.length > 40;
            const every = [1, 2, 5, 10, 20, 50].find((step) => step * room >= 1.7);
            const body = make("tbody", {}, [...modules].map(([module, found]) => make("tr", {},
              make("th", { scope: "row", title: module }, shorten(module, 32)),
              layers.map((layer) => {
                const button = found.has(layer)
                  ? field(metric, scale, found.get(layer), `layer ${layer}, ${module}`, (value) => (isDense ? "" : brief(metric, value))) : null;
                return make("td", { class: button ? null : "none" }, button);
              }))));
            moveWithArrows(body);
            const head = make("tr", {}, make("th", { scope: "col" }, "layer"), layers.map((layer) =>
              make("th", { scope: "col", "aria-label": `layer ${layer}` }, make("span", { "aria-hidden": "true" }, layer % every === 0 ? String(layer) : ""))));
            return make("div", { class: "scroll" }, make("table", { class: isDense ? "heat dense" : "heat", style: `--room: ${room}rem`, "data-stack": name },
              make("caption", {}, name), make("thead", {}, head), body));
          };

          const draw = () => {
            const metric = section.metrics[chosen];
            const values = section.rows.map((row) => row.values[chosen]).filter((value) => value !== null);
            const scale = scaleOf(metric, values);
            const { stacks, outside } = stacksOf(section, chosen);
            const widest = Math.max(0, ...[...stacks.values()].map((modules) => new Set([...modules.values()].flatMap((found) => [...found.keys()])).size));
            box.classList.toggle("stacked", widest > 12);
            maps.replaceChildren(...[...stacks].map(([name, modules]) => map(metric, scale, name, modules)));
            maps.classList.toggle("several", stacks.size > 1);
            if (outside.length > 0) {
              if (stacks.size > 0) maps.append(make("h3", {}, "Outside the layers"));
              const chips = outside.slice(0, 200).map((row) => field(metric, scale, [row], row.name,
                (value) => [make("span", {}, shorten(shortName(row.name), 40)), make("span", {}, written(metric, value))]));
              maps.append(make("div", { class: "chips" }, chips));
              if (outside.length > 200) maps.append(make("p", { class: "lead" }, `${count(outside.length - 200)} more are in the table below.`));
            }
            maps.append(legend(metric, scale, values));
            note.textContent = metric.note;
            rest();
          };

          const select = make("select", { id: "metric", onchange: (event) => { chosen = Number(event.target.value); draw(); } },
            offered.map((index) => make("option", { value: index, selected: index === chosen ? "" : null }, section.metrics[index].label)));
          draw();
          repaint = draw;
          return panel("heat", "Modules × layers", null,
            make("div", { class: "controls" }, make("label", { for: "metric" }, "Figure", select), note), box,
            make("p", { class: "hint" }, "Point at a field for all figures of its tensor, press it to keep them in view. Arrow keys walk from field to field."));
        };

        // Arrow keys walk through a heat map; only one of its fields is a tab stop.
        const moveWithArrows = (body) => {
          const rows = [...body.rows].map((row) => [...row.cells].slice(1).map((cell) => cell.querySelector("button")));
          const all = rows.flat().filter((button) => button);
          all.forEach((button, index) => { button.tabIndex = index === 0 ? 0 : -1; });
          const goTo = (button) => {
            for (const other of all) other.tabIndex = -1;
            button.tabIndex = 0;
          };
          body.addEventListener("focusin", (event) => { if (all.includes(event.target)) goTo(event.target); });
          body.addEventListener("keydown", (event) => {
            const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -1], End: [0, 1] }[event.key];
            let row = rows.findIndex((fields) => fields.includes(event.target));
            if (!step || row < 0) return;
            event.preventDefault();
            let column = rows[row].indexOf(event.target), next = null;
            const isFar = event.key === "Home" || event.key === "End";
            do {
              row += step[0];
              column += step[1];
              if (rows[row]?.[column]) next = rows[row][column];
            } while (rows[row] && column >= 0 && column < rows[row].length && (isFar || !next));
            next?.focus();
          });
        };
        """#
}
