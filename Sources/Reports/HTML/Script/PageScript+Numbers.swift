extension PageScript {
    /// Numbers as `NumberText` writes them.
    static let numbers = #"""
        const significant = (value, digits) => {
          if (value === 0) return "0";
          const magnitude = Math.abs(Number(value.toPrecision(digits)));
          if (magnitude >= 1e-3 && magnitude < 1e6) return Number(value.toPrecision(digits)).toFixed(Math.max(0, digits - 1 - Math.floor(Math.log10(magnitude))));
          return value.toExponential(digits - 1).replace(/e([+-])(\d)$/, "e$10$2");
        };
        const percent = (fraction) => significant(fraction * 100, Math.abs(fraction) < 0.00995 ? 2 : 3);
        // Cut off, not rounded: nothing short of a threshold reads like it.
        const cutOff = (fraction, step) => Math.trunc(Number((fraction * 100 * step).toPrecision(12))) / step;

        const written = (metric, value) => {
          if (value === null || value === undefined) return "–";
          if (metric.concern === "survival") return cutOff(value, 10).toFixed(1) + " %";
          if (metric.unit === "percent") return percent(value) + " %";
          if (metric.unit === "decibels") return value.toFixed(1) + " dB";
          return significant(value, 3);
        };
        // In a field of a heat map there is room for four characters.
        const brief = (metric, value) => {
          if (metric.concern === "survival") return String(cutOff(value, 1));
          if (metric.unit === "percent") {
            const percentage = value * 100;
            return percentage === 0 ? "0" : percentage < 0.095 ? "<.1" : percentage.toFixed(percentage < 9.95 ? 1 : 0);
          }
          if (metric.unit === "decibels") return value.toFixed(0);
          return value === 0 ? "0" : Math.abs(value) < 0.0095 ? value.toExponential(0) : significant(value, 2);
        };
        const count = (value) => value.toLocaleString("en-US");
        const counted = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
        """#
}
