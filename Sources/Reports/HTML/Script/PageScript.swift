/// The page's script. It makes everything with textContent: no text of a report can become markup.
///
/// Its parts share one scope and stand in the order in which they need each other.
enum PageScript {
    static let text =
        """
        (() => {
        "use strict";

        """
        + [
            basics, numbers, layers, colours, tensorDetails, sortableTable, heatMap, survival, histograms, tensorTable,
            sections,
        ].joined(separator: "\n\n") + "\n})();"

    private static let basics = #"""
        const data = JSON.parse(document.getElementById("data").textContent);

        // Makes an element. Attributes whose value is null or false are left out.
        const make = (tag, attributes = {}, ...children) => {
          const isDrawing = ["svg", "rect", "line", "text", "title"].includes(tag);
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

        // Makes a part of the page.
        const panel = (key, title, lead, ...children) =>
          make("section", { class: "panel", id: key, "aria-labelledby": `${key}-title` },
            make("h2", { id: `${key}-title` }, title), lead === null ? null : make("p", { class: "lead" }, lead), ...children);
        """#
}
