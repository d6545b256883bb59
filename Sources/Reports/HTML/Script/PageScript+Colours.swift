extension PageScript {
    /// The colours of heat maps. Their stops are variables of the style sheet, which has a set for either theme.
    static let colours = #"""
        const stops = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim().split(/\s+/)
          .map((text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));
        const along = (colours, share) => {
          const place = Math.max(0, Math.min(1, share)) * (colours.length - 1);
          const index = Math.min(colours.length - 2, Math.floor(place));
          return colours[index].map((from, channel) => Math.round(from + (colours[index + 1][channel] - from) * (place - index)));
        };
        const css = (colour) => `rgb(${colour.join(" ")})`;

        // The relative luminance of WCAG 2. Of black and white, one has a contrast of at least 4.5 with any colour.
        const luminance = (colour) => colour.map((channel) => channel / 255)
          .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
          .reduce((sum, part, channel) => sum + part * [0.2126, 0.7152, 0.0722][channel], 0);
        const paint = (element, colour) => {
          element.style.backgroundColor = css(colour);
          element.style.color = luminance(colour) > 0.179 ? "#000" : "#fff";
        };

        // From values to colours. An update's thresholds show as steps; within them, more is further along.
        const scaleOf = (metric, values) => {
          if (metric.concern === "survival") {
            const kinds = [["erased", 0, data.erasedBelow], ["thinned", data.erasedBelow, data.thinnedBelow], ["kept", data.thinnedBelow, 1]];
            const ramps = Object.fromEntries(kinds.map(([kind]) => [kind, stops(`--${kind}`)]));
            const colour = (value) => {
              const [kind, from, to] = kinds.find(([name]) => name === survivalOf(value));
              return along(ramps[kind], (value - from) / (to - from));
            };
            return { colour, kinds, ramps };
          }
          const low = Math.min(...values), high = Math.max(...values);
          // Where all values are alike, the scale shows what sets them apart.
          const start = low >= 0 && low < high / 2 ? 0 : low;
          const ramp = stops("--heat");
          const share = (value) => (high > start ? (value - start) / (high - start) : 0);
          return { colour: (value) => along(ramp, metric.concern === "low" ? 1 - share(value) : share(value)), low: start, high, ramp };
        };

        const legend = (metric, scale, values) => {
          const ramp = (colours) => make("span", { class: "ramp", style: `background-image: linear-gradient(to right, ${colours.map(css).join(", ")})` });
          if (metric.concern === "survival") {
            const ranges = { erased: `below ${data.erasedBelow * 100} %`, thinned: `below ${data.thinnedBelow * 100} %`, kept: `from ${data.thinnedBelow * 100} % on` };
            return make("p", { class: "legend" }, scale.kinds.map(([kind]) => {
              const members = values.filter((value) => survivalOf(value) === kind).length;
              return make("span", {}, ramp(scale.ramps[kind]), `${kind}, ${ranges[kind]}: ${count(members)}`);
            }));
          }
          const ends = metric.concern === "low" ? [scale.high, scale.low] : [scale.low, scale.high];
          return make("p", { class: "legend" }, make("span", {}, written(metric, ends[0]), ramp(scale.ramp), written(metric, ends[1])));
        };

        // When the reader's theme changes, what was painted must be painted anew.
        const onThemeChange = (action) => matchMedia("(prefers-color-scheme: dark)").addEventListener("change", action);
        let repaint = () => {};
        onThemeChange(() => repaint());
        """#
}
