extension PageScript {
    /// Where tensors stand in a model, and what layers come to.
    static let layers = #"""
        const shortName = (name) => name.replace(/\.weight$/, "");
        // Names tell what they are at both ends.
        const shorten = (name, limit) => {
          if (name.length <= limit) return name;
          const end = Math.floor(limit * 0.4);
          return `${name.slice(0, limit - end - 1)}…${name.slice(-end)}`;
        };

        // model.layers.3.mlp.up_proj.weight is module mlp.up_proj of layer 3 of model.layers. A second number (an expert's) is
        // left open.
        const place = (name) => {
          const parts = shortName(name).split(".");
          const index = parts.findIndex((part, at) => at > 0 && /^\d+$/.test(part));
          if (index < 0 || index === parts.length - 1) return null;
          return {
            stack: parts.slice(0, index).join("."), layer: Number(parts[index]),
            module: parts.slice(index + 1).map((part) => (/^\d+$/.test(part) ? "*" : part)).join("."),
          };
        };
        const moduleNamed = (name) => place(name)?.module ?? shortName(name);

        const isWorse = (metric, left, right) => (metric.concern === "high" ? left > right : left < right);
        const worstOf = (metric, at, rows) => rows.reduce((found, row) => (
          row.values[at] !== null && (found === null || isWorse(metric, row.values[at], found.values[at])) ? row : found), null);

        const survivalMetric = (section) => section.metrics.findIndex((metric) => metric.concern === "survival");
        const survivalOf = (value) => (value < data.erasedBelow ? "erased" : value < data.thinnedBelow ? "thinned" : "kept");

        // How much of an update each layer kept, its tensors weighing by their share of the update.
        const keptByLayer = (section) => {
          const at = survivalMetric(section);
          const layers = new Map();
          for (const row of at < 0 ? [] : section.rows) {
            if (row.values[at] === null) continue;
            const found = place(row.name);
            const label = found === null ? shortName(row.name) : String(found.layer);
            const key = `${found?.stack ?? ""} ${label}`;
            if (!layers.has(key)) layers.set(key, { label, stack: found?.stack ?? "", order: found?.layer ?? -1, weight: 0, sum: 0, least: row });
            const layer = layers.get(key);
            const weight = row.updateWeight ?? 1;
            layer.weight += weight;
            layer.sum += weight * row.values[at];
            if (row.values[at] < layer.least.values[at]) layer.least = row;
          }
          const sorted = [...layers.values()].sort((left, right) => (left.stack < right.stack ? -1 : left.stack > right.stack ? 1 : left.order - right.order));
          return sorted.map((layer) => ({ ...layer, kept: layer.weight > 0 ? layer.sum / layer.weight : layer.least.values[at], least: layer.least.values[at], leastName: layer.least.name }));
        };
        """#
}
