/// The page's script. It makes everything with textContent: no text of a report can become markup.
enum PageScript {
    static let text = #"""
        (() => {
        "use strict";
        const data = JSON.parse(document.getElementById("data").textContent);
        const app = document.getElementById("app");

        // Makes an element. Attributes whose value is null or false are left out.
        const make = (tag, attributes = {}, ...children) => {
          const isDrawing = ["svg", "rect", "line", "text", "g", "title"].includes(tag);
          const element = isDrawing
            ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
          for (const [name, value] of Object.entries(attributes)) {
            if (value === null || value === false) continue;
            if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
            else element.setAttribute(name, value);
          }
          element.append(...children.flat().filter((child) => child !== null));
          return element;
        };

        // MARK: Numbers

        const significant = (value, digits) => {
          if (value === 0) return "0";
          const magnitude = Math.abs(value);
          return magnitude < 1e-3 || magnitude >= 1e6
            ? value.toExponential(digits - 1) : Number(value.toPrecision(digits)).toString();
        };
        const written = (metric, value) => {
          if (value === null || value === undefined) return "–";
          // Cut off, not rounded: nothing short of a threshold reads like it.
          if (metric.concern === "survival") return (Math.floor(value * 1000 + 1e-9) / 10).toFixed(1) + " %";
          if (metric.unit === "percent") return significant(value * 100, 3) + " %";
          if (metric.unit === "decibels") return value.toFixed(1) + " dB";
          return significant(value, 3);
        };
        // In a cell there is room for three characters or four.
        const brief = (metric, value) => {
          if (metric.unit === "percent") {
            const percentage = value * 100;
            if (metric.concern === "survival") return String(Math.floor(percentage + 1e-9));
            return percentage === 0 ? "0" : percentage < 0.095 ? "<.1" : percentage < 9.95 ? percentage.toFixed(1) : percentage.toFixed(0);
          }
          if (metric.unit === "decibels") return value.toFixed(0);
          return value !== 0 && Math.abs(value) < 0.0095 ? value.toExponential(0).replace("e-", "e-") : significant(value, 2);
        };
        const count = (value) => value.toLocaleString("en-US");

        // MARK: Layers

        // Where a tensor stands: model.layers.3.mlp.up_proj.weight is module mlp.up_proj of layer 3 of model.layers. A second
        // number (an expert's) is left open.
        const place = (name) => {
          const parts = name.replace(/\.weight$/, "").split(".");
          const index = parts.findIndex((part, at) => at > 0 && /^\d+$/.test(part));
          if (index < 0 || index === parts.length - 1) return null;
          return {
            stack: parts.slice(0, index).join("."), layer: Number(parts[index]),
            module: parts.slice(index + 1).map((part) => (/^\d+$/.test(part) ? "*" : part)).join("."),
          };
        };
        const isWorse = (metric, left, right) => (metric.concern === "high" ? left > right : left < right);

        // MARK: Colours

        const survivalOf = (value) => (value < data.erasedBelow ? "erased" : value < data.thinnedBelow ? "thinned" : "kept");
        const scaleOf = (metric, values) => {
          const low = Math.min(...values), high = Math.max(...values);
          // Where all values are alike, the scale shows what sets them apart.
          const start = low >= 0 && low < high / 2 ? 0 : low;
          return { low: start, high, share: (value) => (high > start ? (value - start) / (high - start) : 0) };
        };
        const paint = (cell, metric, scale, value) => {
          if (metric.concern === "survival") {
            const kind = survivalOf(value);
            cell.style.background = `var(--${{ kept: "good", thinned: "warning", erased: "bad" }[kind]}-soft)`;
            cell.style.color = "var(--ink)";
            return;
          }
          const share = metric.concern === "low" ? 1 - scale.share(value) : scale.share(value);
          cell.style.background = `color-mix(in oklab, var(--hot) ${Math.round(share * 100)}%, var(--cold))`;
          cell.style.color = share > 0.5 ? "var(--on-hot)" : "var(--on-cold)";
        };

        // MARK: One tensor

        const histogram = (found, label, height = 70) => {
          const bars = found.counts.length, width = 260, left = 2, bottom = 14;
          // Values without an error may outnumber all others; their bar is then cut off.
          const highest = Math.max(...found.counts, found.counts.length === 0 ? found.zeros : 1);
          const slots = bars + (found.zeros > 0 ? 2 : 0);
          const step = (width - 2 * left) / Math.max(slots, 6);
          const total = found.zeros + found.counts.reduce((sum, next) => sum + next, 0);
          const drawing = make("svg", { viewBox: `0 0 ${width} ${height + bottom}`, role: "img", "aria-label": label });
          const bar = (slot, value, kind, text) => {
            const size = value === 0 ? 0 : Math.max(1, Math.min(1, value / highest) * (height - 4));
            drawing.append(make("rect", { class: kind, x: left + slot * step + 0.5, y: height - size, width: Math.max(step - 1, 0.5), height: size, rx: 1 },
              make("title", {}, text)));
          };
          const share = (value) => `${count(value)} values, ${significant((100 * value) / total, 2)} %`;
          let slot = 0;
          if (found.zeros > 0) {
            bar(0, found.zeros, "zero", `no error: ${share(found.zeros)}`);
            if (found.zeros > highest) {
              const at = height * 0.3;
              drawing.append(make("line", { class: "cut", x1: left - 1, x2: left + step + 1, y1: at + 3, y2: at - 3 }));
            }
            drawing.append(make("text", { x: left + step / 2, y: height + 10, "text-anchor": "middle" }, "0"));
            slot = 2;
          }
          const every = Math.max(1, Math.ceil(46 / step));
          found.counts.forEach((value, index) => {
            const from = 2 ** (found.first + index);
            bar(slot + index, value, "bar", `${significant(from, 2)} to ${significant(2 * from, 2)}: ${share(value)}`);
            if (index % every === 0 && left + (slot + index) * step < width - 24) {
              drawing.append(make("text", { x: left + (slot + index) * step, y: height + 10, "text-anchor": index === 0 && slot === 0 ? "start" : "middle" }, from.toExponential(0)));
            }
          });
          drawing.append(make("line", { class: "axis", x1: 0, x2: width, y1: height + 0.5, y2: height + 0.5 }));
          return drawing;
        };

        const details = (section, row) => {
          const pairs = make("dl", { class: "pairs" },
            make("dt", {}, "Status"), make("dd", {}, row.status),
            make("dt", {}, "Stored as"), make("dd", {}, row.storage),
            make("dt", {}, "Shape"), make("dd", {}, row.shape),
            section.metrics.flatMap((metric, index) => (row.values[index] === null ? [] : [
              make("dt", { title: metric.note }, metric.label), make("dd", {}, written(metric, row.values[index])),
            ])));
          const box = make("div", { class: "detail" }, make("h3", {}, row.name), pairs);
          if (row.histogram) {
            box.append(make("figure", {}, histogram(row.histogram, `Errors of ${row.name} by size`, 60),
              make("figcaption", {}, "Values by the size of their error")));
          }
          return box;
        };

        // MARK: Heat map

        const heatMap = (section) => {
          if (section.metrics.length === 0) return null;
          const preferred = section.metrics.findIndex((metric) => metric.concern === "survival");
          let chosen = Math.max(0, preferred);
          let pinned = null;
          const maps = make("div");
          const panel = make("div", { "aria-live": "polite" });
          const note = make("p", { class: "lead" });
          const show = (row) => panel.replaceChildren(details(section, row));

          const cell = (metric, scale, rows, label, children) => {
            const at = section.metrics.indexOf(metric);
            const worst = rows.reduce((found, row) => (row.values[at] !== null && (found === null || isWorse(metric, row.values[at], found.values[at])) ? row : found), null);
            if (worst === null) return null;
            const value = worst.values[at];
            const text = `${label}: ${metric.label} ${written(metric, value)}` + (rows.length > 1 ? `, the worst of ${rows.length}` : "");
            const button = make("button", {
              type: "button", class: "cell", title: text, "aria-label": text, "aria-pressed": String(pinned === worst.name), "data-tensor": worst.name,
              onfocus: () => show(worst), onmouseenter: () => show(worst),
              onclick: (event) => {
                pinned = pinned === worst.name ? null : worst.name;
                for (const other of maps.querySelectorAll(".cell")) other.setAttribute("aria-pressed", String(other.dataset.tensor === pinned));
                event.currentTarget.focus();
                show(worst);
              },
            }, children ? children(value) : brief(metric, value));
            paint(button, metric, scale, value);
            return button;
          };

          const draw = () => {
            const metric = section.metrics[chosen];
            const values = section.rows.map((row) => row.values[chosen]).filter((value) => value !== null);
            const scale = scaleOf(metric, values);
            const stacks = new Map();
            const outside = [];
            for (const row of section.rows) {
              if (row.values[chosen] === null) continue;
              const at = place(row.name);
              if (at === null) { outside.push(row); continue; }
              if (!stacks.has(at.stack)) stacks.set(at.stack, { modules: [], layers: new Map() });
              const stack = stacks.get(at.stack);
              if (!stack.modules.includes(at.module)) stack.modules.push(at.module);
              if (!stack.layers.has(at.layer)) stack.layers.set(at.layer, new Map());
              const modules = stack.layers.get(at.layer);
              if (!modules.has(at.module)) modules.set(at.module, []);
              modules.get(at.module).push(row);
            }
            maps.replaceChildren();
            for (const [name, stack] of stacks) {
              const body = make("tbody");
              for (const layer of [...stack.layers.keys()].sort((left, right) => left - right)) {
                const modules = stack.layers.get(layer);
                body.append(make("tr", {}, make("th", { scope: "row" }, String(layer)), stack.modules.map((module) => {
                  const button = modules.has(module) ? cell(metric, scale, modules.get(module), `layer ${layer}, ${module}`) : null;
                  return make("td", { class: button ? null : "none" }, button);
                })));
              }
              const head = make("tr", {}, make("th", { class: "corner", scope: "col" }, "layer"),
                stack.modules.map((module) => make("th", { scope: "col", title: module }, make("span", {}, module.split(".").slice(-2).join(".").replace(/^.*\.(?=.{12})/, "")))));
              maps.append(make("div", { class: "scroll" }, make("table", { class: "heat", "data-stack": name },
                make("caption", { class: "lead", style: stacks.size > 1 ? "text-align:left" : "display:none" }, name),
                make("thead", {}, head), body)));
              moveWithArrows(body);
            }
            if (outside.length > 0) {
              const chips = make("div", { class: "chips" }, outside.map((row) => cell(metric, scale, [row], row.name,
                (value) => [make("span", {}, row.name.replace(/\.weight$/, "")), make("span", {}, written(metric, value))])));
              if (stacks.size > 0) maps.append(make("h3", {}, "Outside the layers"));
              maps.append(chips);
            }
            maps.append(legend(metric, scale));
            note.textContent = `${metric.note} Hover over a field, or focus it with the keyboard, for all figures of the tensor; press it to mark it.`;
            const first = section.rows.find((row) => row.name === pinned)
              ?? section.rows.reduce((found, row) => (row.values[chosen] !== null && (found === null || isWorse(metric, row.values[chosen], found.values[chosen])) ? row : found), null);
            if (first) show(first);
          };

          const select = make("select", { id: "metric", onchange: (event) => { chosen = Number(event.target.value); draw(); } },
            section.metrics.map((metric, index) => make("option", { value: index, selected: index === chosen ? "" : null }, metric.label)));
          draw();
          return make("section", { class: "panel", "aria-labelledby": "heat-title" }, make("h2", { id: "heat-title" }, "Layers × modules"), note,
            make("div", { class: "controls" }, make("label", { for: "metric" }, "Show", select)), make("div", { class: "two" }, maps, panel));
        };

        // Arrow keys walk through a heat map; only one of its fields is a tab stop.
        const moveWithArrows = (body) => {
          const rows = [...body.rows].map((row) => [...row.cells].slice(1).map((field) => field.querySelector("button")));
          const all = rows.flat().filter((button) => button);
          all.forEach((button, index) => { button.tabIndex = index === 0 ? 0 : -1; });
          body.addEventListener("keydown", (event) => {
            const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
            if (!step) return;
            let row = rows.findIndex((fields) => fields.includes(event.target));
            let column = row < 0 ? -1 : rows[row].indexOf(event.target);
            if (row < 0) return;
            do { row += step[0]; column += step[1]; } while (rows[row] && column >= 0 && column < rows[row].length && !rows[row][column]);
            const next = rows[row]?.[column];
            if (!next) return;
            event.preventDefault();
            for (const button of all) button.tabIndex = -1;
            next.tabIndex = 0;
            next.focus();
          });
        };

        const legend = (metric, scale) => {
          if (metric.concern === "survival") {
            const entry = (kind, text) => make("span", {}, make("span", { class: "swatch", style: `background: var(--${kind}-soft); border: 1px solid var(--${kind})` }), text);
            return make("p", { class: "legend" }, entry("good", `kept: from ${data.thinnedBelow * 100} % on`),
              entry("warning", `thinned: from ${data.erasedBelow * 100} % on`), entry("bad", "erased: less"));
          }
          const ends = metric.concern === "low" ? [scale.high, scale.low] : [scale.low, scale.high];
          return make("p", { class: "legend" }, make("span", {}, written(metric, ends[0])), make("span", { class: "ramp" }), make("span", {}, written(metric, ends[1])));
        };

        // MARK: Survival by layer

        const survival = (section) => {
          const at = section.metrics.findIndex((metric) => metric.concern === "survival");
          if (at < 0) return null;
          const metric = section.metrics[at];
          const layers = new Map();
          for (const row of section.rows) {
            if (row.values[at] === null) continue;
            const found = place(row.name);
            const key = found === null ? row.name.replace(/\.weight$/, "") : `${found.stack} ${found.layer}`;
            if (!layers.has(key)) layers.set(key, { label: found === null ? key : String(found.layer), stack: found?.stack ?? "", order: found?.layer ?? -1, weight: 0, sum: 0, least: row });
            const layer = layers.get(key);
            const weight = row.updateWeight ?? 1;
            layer.weight += weight;
            layer.sum += weight * row.values[at];
            if (row.values[at] < layer.least.values[at]) layer.least = row;
          }
          const several = new Set([...layers.values()].map((layer) => layer.stack)).size > 1;
          const sorted = [...layers.values()].sort((left, right) => (left.stack < right.stack ? -1 : left.stack > right.stack ? 1 : left.order - right.order));
          const body = make("tbody", {}, sorted.map((layer) => {
            const kept = layer.weight > 0 ? layer.sum / layer.weight : layer.least.values[at];
            const kind = survivalOf(kept), least = layer.least.values[at];
            return make("tr", {}, make("th", { scope: "row" }, several ? `${layer.stack} ${layer.label}` : layer.label),
              make("td", { class: "track" }, make("div", { "aria-hidden": "true" }, make("i", { class: `is-${kind}`, style: `width: ${(Math.max(0, Math.min(1.1, kept)) / 1.1) * 100}%` }))),
              make("td", {}, make("span", { class: `dot is-${kind}` }), `${written(metric, kept)} ${kind}`),
              make("td", { class: "least" }, `${written(metric, least)} in ${place(layer.least.name)?.module ?? layer.least.name}`));
          }));
          return make("section", { class: "panel", "aria-labelledby": "survival-title" }, make("h2", { id: "survival-title" }, "The adapter, layer by layer"),
            make("p", { class: "lead" }, `How much of the adapter's update is in the result. Bars end at 110 %; the shades behind them stand for erased (below ${data.erasedBelow * 100} %), thinned, and kept (from ${data.thinnedBelow * 100} % on).`),
            make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Survival by layer" }, make("table", { class: "survival" },
              make("thead", {}, make("tr", {}, ["Layer", "", "Kept", "Least"].map((title, index) => make("th", { scope: "col", class: index === 3 ? "least" : null }, title)))), body)));
        };

        // MARK: Histograms

        const histograms = (section) => {
          const groups = new Map();
          const add = (name, found) => {
            if (!groups.has(name)) groups.set(name, { zeros: 0, bins: new Map(), tensors: 0 });
            const group = groups.get(name);
            group.zeros += found.zeros;
            group.tensors += 1;
            found.counts.forEach((value, index) => group.bins.set(found.first + index, (group.bins.get(found.first + index) ?? 0) + value));
          };
          for (const row of section.rows) {
            if (!row.histogram) continue;
            add("all tensors", row.histogram);
            add(place(row.name)?.module ?? row.name.replace(/\.weight$/, ""), row.histogram);
          }
          if (groups.size === 0) return null;
          // All figures have one axis.
          const exponents = [...groups.get("all tensors").bins.keys()];
          const total = (group) => group.zeros + [...group.bins.values()].reduce((sum, next) => sum + next, 0);
          const whole = total(groups.get("all tensors"));
          // What holds less than a millionth of all values is not worth the room at either end.
          const shown = exponents.filter((exponent) => groups.get("all tensors").bins.get(exponent) > whole / 1e6);
          const first = Math.min(...shown), last = Math.max(...shown);
          const figures = [...groups].slice(0, 25).map(([name, group]) => {
            const counts = exponents.length === 0 || shown.length === 0 ? [] : Array.from({ length: last - first + 1 }, (_, index) => group.bins.get(first + index) ?? 0);
            const zero = (100 * group.zeros) / Math.max(total(group), 1);
            return make("figure", {}, histogram({ zeros: group.zeros, first, counts }, `Errors of ${name} by size`),
              make("figcaption", {}, make("b", {}, name), group.tensors > 1 ? `, ${group.tensors} tensors` : "", zero > 0 ? `, ${significant(zero, 3)} % without error` : ""));
          });
          return make("section", { class: "panel", "aria-labelledby": "errors-title" }, make("h2", { id: "errors-title" }, "Errors by size"),
            make("p", { class: "lead" }, "How many values have an error of which size, from one power of two to the next, in the unit of the weights. Grey: no error; the bar is cut where it is higher than all others."),
            make("div", { class: "small-multiples" }, figures));
        };

        // MARK: Table

        const table = (section) => {
          const columns = [
            { label: "Tensor", text: true, value: (row) => row.name, order: "ascending" },
            { label: "Status", text: true, value: (row) => row.status, order: "ascending" },
            { label: "Stored as", text: true, value: (row) => row.storage, order: "ascending" },
            { label: "Shape", text: true, value: (row) => row.shape, order: "ascending" },
            ...section.metrics.map((metric, index) => ({
              label: metric.label, note: metric.note, value: (row) => row.values[index], written: (row) => written(metric, row.values[index]),
              order: metric.concern === "high" ? "descending" : "ascending",
            })),
          ];
          const step = 300;
          let sorted = null, direction = null, limit = step;
          const opened = new Set();
          const collator = new Intl.Collator("en", { numeric: true });
          const body = make("tbody");
          const found = make("p", { class: "lead", role: "status" });
          const more = make("button", { type: "button", class: "more", onclick: () => { limit += 10 * step; fill(); } });
          const filter = make("input", { type: "search", id: "filter", placeholder: "mlp, layers.0.*.weight", oninput: () => { limit = step; fill(); } });
          const statuses = [...new Set(section.rows.map((row) => row.status))];
          const status = make("select", { id: "status", onchange: () => { limit = step; fill(); } },
            make("option", { value: "" }, "all"), statuses.map((name) => make("option", { value: name }, name)));

          // Text anywhere in the name; with a star or a question mark, a pattern of the whole name.
          const matcher = (text) => {
            const wanted = text.trim().toLowerCase();
            if (!/[*?]/.test(wanted)) return (name) => name.toLowerCase().includes(wanted);
            const pattern = new RegExp("^" + wanted.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".") + "$");
            return (name) => pattern.test(name.toLowerCase()) || pattern.test(name.toLowerCase().replace(/\.weight$/, ""));
          };
          const ordered = (rows) => {
            if (sorted === null) return rows;
            const column = columns[sorted], sign = direction === "ascending" ? 1 : -1;
            return [...rows].sort((left, right) => {
              const a = column.value(left), b = column.value(right);
              // What has no value comes last either way.
              if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
              return sign * (column.text ? collator.compare(a, b) : a - b);
            });
          };
          const fill = () => {
            const matches = matcher(filter.value);
            const rows = ordered(section.rows.filter((row) => matches(row.name) && (status.value === "" || row.status === status.value)));
            body.replaceChildren();
            for (const row of rows.slice(0, limit)) {
              const isOpen = opened.has(row.name);
              body.append(make("tr", {}, columns.map((column, index) => {
                if (index > 0) return make("td", { class: column.text ? "text" : null }, column.written ? column.written(row) : column.value(row));
                const name = make("button", { type: "button", class: "name", title: row.name, "aria-expanded": String(isOpen), onclick: () => {
                  if (!opened.delete(row.name)) opened.add(row.name);
                  fill();
                  body.querySelector(`[data-name="${CSS.escape(row.name)}"]`)?.focus();
                }, "data-name": row.name }, make("bdi", {}, row.name));
                return make("th", { scope: "row" }, name);
              })));
              if (isOpen) body.append(make("tr", { class: "opened" }, make("td", { colspan: columns.length }, details(section, row))));
            }
            found.textContent = `${count(rows.length)} of ${count(section.rows.length)} tensors`;
            more.hidden = rows.length <= limit;
            more.textContent = `Show more of the ${count(rows.length - limit)} left`;
          };
          const heads = columns.map((column, index) => make("th", { scope: "col", class: column.text ? "text" : null, title: column.note ?? null },
            make("button", { type: "button", onclick: () => sort(index) }, column.label)));
          const sort = (index) => {
            direction = sorted === index ? (direction === "ascending" ? "descending" : "ascending") : columns[index].order;
            sorted = index;
            heads.forEach((head, at) => (at === index ? head.setAttribute("aria-sort", direction) : head.removeAttribute("aria-sort")));
            fill();
          };
          fill();
          return make("section", { class: "panel", "aria-labelledby": "table-title" }, make("h2", { id: "table-title" }, "Tensors"),
            make("div", { class: "controls" }, make("label", { for: "filter" }, "Name", filter), make("label", { for: "status" }, "Status", status)), found,
            make("div", { class: "table-box", tabindex: 0, role: "region", "aria-label": "Tensors" },
              make("table", { class: "tensors" }, make("thead", {}, make("tr", {}, heads)), body)), more);
        };

        // MARK: The page

        const show = (section) => {
          content.replaceChildren(
            make("section", { class: `panel verdict ${section.tone}`, "aria-label": "Conclusion" }, make("p", {}, section.verdict)),
            make("dl", { class: "facts" }, section.facts.map((fact) => make("div", { class: "fact" }, make("dt", {}, fact.label),
              make("dd", {}, make("div", { class: "value" }, fact.value), fact.note ? make("div", { class: "note" }, fact.note) : null)))),
            ...[heatMap(section), survival(section), histograms(section), table(section)].filter((part) => part !== null));
        };
        const content = make("div");
        if (data.sections.length > 1) {
          app.append(make("div", { class: "controls" }, make("label", { for: "section" }, "Output", make("select", { id: "section", onchange: (event) => show(data.sections[event.target.value]) },
            data.sections.map((section, index) => make("option", { value: index }, section.name))))));
        }
        app.append(content);
        if (data.sections.length > 0) show(data.sections[0]);
        })();
        """#
}
