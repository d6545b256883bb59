extension PageScript {
    /// Tables that are sorted by a press on a column's title.
    static let sortableTable = #"""
        // A column has a label, perhaps a note, and of each row a value to sort by and a content to show. Its titles sort it
        // first in its own order, then the other way round, then not at all.
        const sortableTable = (columns, options) => {
          const step = 300;
          let sorted = options.sorted ?? null, direction = null, limit = step, rows = [];
          const collator = new Intl.Collator("en", { numeric: true });
          const body = make("tbody");
          const more = make("button", { type: "button", class: "button", onclick: () => { limit += 10 * step; fill(); } });
          const ordered = () => {
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
            body.replaceChildren(...ordered().slice(0, limit).flatMap((row) => {
              const line = make("tr", {}, columns.map((column, index) => make(index === 0 ? "th" : "td",
                { class: column.text || column.isLeft ? "text" : null, scope: index === 0 ? "row" : null }, column.content(row))));
              const under = options.under?.(row) ?? null;
              return under === null ? [line] : [line, make("tr", { class: "opened" }, make("td", { colspan: columns.length }, under))];
            }));
            if (rows.length === 0) body.append(make("tr", {}, make("td", { class: "nothing", colspan: columns.length }, options.nothing)));
            more.hidden = rows.length <= limit;
            more.textContent = `Show more of the ${count(rows.length - limit)} left`;
          };
          const heads = columns.map((column, index) => make("th", { scope: "col", class: column.text || column.isLeft ? "text" : null },
            make("button", { type: "button", title: column.note ?? null, onclick: () => turn(index) }, column.label)));
          const mark = () => heads.forEach((head, at) => (at === sorted ? head.setAttribute("aria-sort", direction) : head.removeAttribute("aria-sort")));
          const turn = (index) => {
            const own = columns[index].order, other = own === "ascending" ? "descending" : "ascending";
            if (sorted !== index) { sorted = index; direction = own; }
            else if (direction === own) direction = other;
            else { sorted = null; direction = null; }
            mark();
            fill();
          };
          if (sorted !== null) direction = columns[sorted].order;
          mark();
          return {
            element: make("div", {}, make("div", { class: "table-box", tabindex: 0, role: "region", "aria-label": options.label },
              make("table", { class: "sortable" }, make("thead", {}, make("tr", {}, heads)), body)), more),
            body, fill,
            show: (selected) => { rows = selected; limit = step; fill(); },
          };
        };
        """#
}
