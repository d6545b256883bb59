/// The page's style sheet.
///
/// Good, middling and bad news are blue, amber and vermilion, which readers who confuse red and green tell apart; and no colour
/// stands without a word, a number or a shape that says the same.
enum PageStyle {
    static let text = [theme, frame, conclusion, heatMap, figures, tables, narrow].joined(separator: "\n")

    private static let theme = #"""
        :root {
          --paper: #f5f6f7; --panel: #ffffff; --ink: #1b2026; --quiet: #57616b; --line: #dde1e5; --accent: #0a5aa5;
          --good: #00628f; --warning: #8a5a00; --bad: #b13a06; --neutral: #4b5660;
          --good-soft: #d8ebf5; --warning-soft: #fbedcd; --bad-soft: #fbdccd; --neutral-soft: #e6e9ec;
          --heat: #eef3f8 #bcd5ec #79aedb #3a7dbd #1a4f8b #0c2f5c;
          --erased: #8f2d04 #dd7434; --thinned: #f1b45f #fbe8bf; --kept: #b5d8ee #5fa9d8;
          --bar: #4f86c0; --middling: #b57614;
          font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
          color: var(--ink); background: var(--paper); color-scheme: light dark;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --paper: #13161a; --panel: #1b1f24; --ink: #e6e9ec; --quiet: #a2acb6; --line: #333a42; --accent: #7db8ff;
            --good: #74c4ee; --warning: #efbb57; --bad: #ff9b6e; --neutral: #b4bec6;
            --good-soft: #15384c; --warning-soft: #443313; --bad-soft: #50281a; --neutral-soft: #2c333a;
            --heat: #242a31 #24405f #2b659c #4d97d8 #92c7f5 #d9edff;
            --erased: #ff8b4f #b9551f; --thinned: #c08a2a #6f5827; --kept: #23475f #2f7bb0;
            --bar: #5f97d3; --middling: #efbb57;
          }
        }
        """#

    private static let frame = #"""
        * { box-sizing: border-box; }
        body { margin: 0 auto; max-width: 76rem; padding: 1.75rem clamp(0.75rem, 3vw, 2rem) 3rem; }
        h1 { font-size: clamp(1.3rem, 4vw, 1.8rem); line-height: 1.2; letter-spacing: -0.01em; margin: 0.1rem 0 0.6rem; overflow-wrap: anywhere; }
        h2 { font-size: 1.1rem; line-height: 1.3; margin: 0 0 0.3rem; }
        h3 { font-size: 0.9rem; margin: 1rem 0 0.3rem; overflow-wrap: anywhere; }
        p { margin: 0 0 0.75rem; }
        button { font: inherit; color: inherit; }
        code, pre, .command, .detail h3 { font-family: ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; }
        :focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
        .command { color: var(--quiet); margin: 0; font-size: 0.85rem; }
        .origins { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: 0.1rem 0.9rem; margin: 0 0 1.1rem; font-size: 0.85rem; }
        .origins dt { color: var(--quiet); } .origins dd { margin: 0; overflow-wrap: anywhere; }
        .lead, .hint { color: var(--quiet); font-size: 0.85rem; max-width: 62rem; }
        .hint { margin: 0.9rem 0 0; }
        .panel { background: var(--panel); border: 1px solid var(--line); border-radius: 12px; margin: 1rem 0;
          padding: 1.1rem clamp(0.8rem, 2vw, 1.4rem) 1.2rem; scroll-margin-top: 0.5rem; }
        .controls { display: flex; flex-wrap: wrap; gap: 0.6rem 1rem; align-items: end; margin: 0.6rem 0 0.9rem; }
        .controls .lead { margin: 0 0 0.35rem; flex: 1 1 18rem; }
        .chooser { margin: 1.5rem 0 0; }
        label { display: grid; grid-template-columns: minmax(0, auto); gap: 0.15rem; font-size: 0.8rem; color: var(--quiet); max-width: 100%; }
        label.check { display: flex; align-items: center; gap: 0.4rem; padding-bottom: 0.45rem; }
        select, input[type="search"] { font: inherit; font-size: 0.95rem; color: var(--ink); background: var(--paper); border: 1px solid var(--line);
          border-radius: 7px; padding: 0.35rem 0.55rem; max-width: 100%; }
        input[type="search"] { width: min(19rem, 100%); } input::placeholder { color: var(--quiet); opacity: 1; }
        .button { margin: 0.2rem 0 0.4rem; padding: 0.15rem 0.65rem; font-size: 0.8rem; border: 1px solid var(--line); border-radius: 6px; background: var(--paper);
          cursor: pointer; }
        .scroll { overflow-x: auto; max-width: 100%; }
        details { margin: 0.5rem 0; } summary { cursor: pointer; }
        pre { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 0.75rem; overflow: auto; font-size: 0.8rem; max-height: 30rem; }
        code { font-size: 0.85em; }
        footer { color: var(--quiet); font-size: 0.8rem; margin-top: 1.5rem; }
        """#

    private static let conclusion = #"""
        .verdict { border-left: 6px solid var(--neutral); overflow-wrap: anywhere; }
        .verdict p { margin: 0; max-width: 64rem; } .verdict p + p { margin-top: 0.4rem; color: var(--quiet); font-size: 0.95rem; }
        .verdict strong { font-size: 1.1rem; font-weight: 650; }
        .verdict.good { border-left-color: var(--good); } .verdict.warning { border-left-color: var(--warning); }
        .verdict.bad { border-left-color: var(--bad); }
        .pill { display: inline-block; border-radius: 1em; padding: 0.05rem 0.65rem; font-size: 0.8rem; font-weight: 650; white-space: nowrap;
          vertical-align: 0.1em; background: var(--neutral-soft); color: var(--neutral); }
        .pill.good { background: var(--good-soft); color: var(--good); } .pill.warning { background: var(--warning-soft); color: var(--warning); }
        .pill.bad { background: var(--bad-soft); color: var(--bad); }
        .facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.6rem, 1fr)); gap: 0.6rem; margin: 1rem 0; padding: 0; }
        .fact { background: var(--panel); border: 1px solid var(--line); border-radius: 10px; padding: 0.6rem 0.85rem; }
        .fact dt { color: var(--quiet); font-size: 0.8rem; }
        .fact dd { margin: 0; }
        .fact .value { font-size: 1.3rem; font-weight: 650; letter-spacing: -0.01em; line-height: 1.3; font-variant-numeric: tabular-nums; }
        .fact .note { color: var(--quiet); font-size: 0.8rem; line-height: 1.35; }
        .notice, .gates { background: var(--panel); border: 1px solid var(--line); border-radius: 10px; padding: 0.6rem 0.9rem; overflow-wrap: anywhere; }
        .gates { list-style: none; margin: 1rem 0; }
        .gate { padding-left: 1.4em; text-indent: -1.4em; }
        .gate::before { display: inline-block; width: 1.4em; text-indent: 0; font-weight: 700; }
        .gate.passed::before { content: "✓"; color: var(--good); }
        .gate.failed::before { content: "✗"; color: var(--bad); }
        """#

    private static let heatMap = #"""
        .beside { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1.25rem; }
        @media (min-width: 60rem) { .beside:not(.stacked) { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); } .beside:not(.stacked) .pairs { grid-template-columns: repeat(2, auto auto); } }
        .maps { min-width: 0; }
        .heat { border-collapse: separate; border-spacing: 2px; }
        .heat caption { display: none; text-align: left; font-size: 0.85rem; font-weight: 650; padding: 0.5rem 0 0.1rem; }
        .several .heat caption { display: table-caption; }
        .heat th { font-weight: 400; font-size: 0.75rem; color: var(--quiet); padding: 0; }
        .heat tr > th:first-child { text-align: left; padding-right: 0.7rem; max-width: 13rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
          position: sticky; left: 0; background: var(--panel); z-index: 1; }
        .heat thead span { display: flex; justify-content: center; width: var(--room); white-space: nowrap; font-variant-numeric: tabular-nums; }
        .heat td { padding: 0; width: var(--room); min-width: var(--room); }
        .field { display: block; width: 100%; height: 1.75rem; border: 0; border-radius: 4px; padding: 0; font-size: 0.72rem; cursor: pointer;
          overflow: hidden; font-variant-numeric: tabular-nums; forced-color-adjust: none; }
        .dense { border-spacing: 1px; } .dense .field { border-radius: 2px; }
        .field[aria-pressed="true"] { outline: 2px solid var(--ink); outline-offset: 1px; }
        .field:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
        .heat .none { border-radius: 4px; background: repeating-linear-gradient(135deg, var(--line) 0 1px, transparent 1px 6px); }
        .chips { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 4px; }
        .chips .field { display: flex; justify-content: space-between; gap: 0.5rem; padding: 0 0.55rem; align-items: center; }
        .chips .field span:first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
        .chips .field span:last-child { white-space: nowrap; }
        .legend { display: flex; align-items: center; gap: 0.3rem 1.1rem; font-size: 0.78rem; color: var(--quiet); margin: 0.7rem 0 0; flex-wrap: wrap; }
        .legend > span { display: inline-flex; align-items: center; gap: 0.45rem; }
        .ramp { width: 2.6rem; height: 0.75rem; border-radius: 3px; forced-color-adjust: none; } .legend > span:only-child .ramp { width: 9rem; }
        .detail { border-left: 3px solid var(--line); padding-left: 1rem; }
        .detail h3 { margin: 0 0 0.2rem; font-size: 0.82rem; }
        .about { display: flex; flex-wrap: wrap; gap: 0.5rem 2.5rem; align-items: start; }
        .about figure { flex: 1 1 15rem; max-width: 24rem; }
        .pairs { display: grid; grid-template-columns: auto auto; gap: 0.05rem 1rem; font-size: 0.82rem; margin: 0.2rem 0 0.5rem; }
        .pairs dt { color: var(--quiet); } .pairs dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
        @media (min-width: 48rem) { .stacked .pairs { grid-template-columns: repeat(3, auto auto); } }
        """#

    private static let figures = #"""
        .small-multiples { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem 1.5rem; }
        figure { margin: 0; }
        figcaption { font-size: 0.78rem; color: var(--quiet); overflow-wrap: anywhere; }
        figcaption b { color: var(--ink); font-weight: 600; }
        svg { display: block; width: 100%; max-width: 24rem; height: auto; }
        svg .bar { fill: var(--bar); } svg .zero { fill: var(--quiet); } svg .axis { stroke: var(--line); }
        svg .cut { stroke: var(--panel); stroke-width: 3; } svg text { fill: var(--quiet); font-size: 10.5px; }
        .survival { width: 100%; max-width: 62rem; }
        .survival th, .survival td { padding: 0.15rem 0.9rem 0.15rem 0; text-align: left; font-weight: 400; font-size: 0.85rem; white-space: nowrap; }
        .survival thead th { color: var(--quiet); font-size: 0.78rem; }
        .survival .track { width: 100%; }
        .track div { position: relative; height: 0.95rem; border-radius: 4px; min-width: 6rem; overflow: hidden;
          background: linear-gradient(to right, var(--bad-soft) 0 var(--erased-end), var(--warning-soft) var(--erased-end) var(--thinned-end), var(--good-soft) var(--thinned-end)); }
        .track i { position: absolute; inset: 0.2rem auto 0.2rem 0; border-radius: 0 3px 3px 0; }
        .columns { position: relative; padding: 0 2.6rem 1.4rem 0; }
        .columns .bars { display: flex; gap: 1px; height: 10rem; border-radius: 4px;
          background: linear-gradient(to top, var(--bad-soft) 0 var(--erased-end), var(--warning-soft) var(--erased-end) var(--thinned-end), var(--good-soft) var(--thinned-end)); }
        .columns .bars > div { position: relative; flex: 1 1 0; min-width: 0; display: flex; justify-content: center; }
        .columns i { position: absolute; bottom: 0; left: 0; right: 0; max-width: 1.6rem; margin: 0 auto; border-radius: 2px 2px 0 0; }
        .columns b { position: absolute; left: 0; right: 0; max-width: 1.6rem; margin: 0 auto; height: 2px; background: var(--panel); }
        .columns .bars span { position: absolute; top: 100%; padding-top: 0.15rem; font-size: 0.72rem; color: var(--quiet); white-space: nowrap; }
        .columns .grid { position: absolute; inset: 0 0 1.4rem 0; pointer-events: none; }
        .columns .grid span { position: absolute; right: 0; font-size: 0.72rem; color: var(--quiet); transform: translateY(50%); }
        .dot { display: inline-block; width: 0.62em; height: 0.62em; border-radius: 50%; margin-right: 0.45em; }
        .is-kept { background: var(--good); } .is-thinned { background: var(--middling); } .is-erased { background: var(--bad); }
        .dot.is-thinned { border-radius: 1px; transform: rotate(45deg) scale(0.9); } .dot.is-erased { border-radius: 1px; }
        .strip { display: inline-flex; vertical-align: middle; gap: 1px; } .strip i { width: clamp(3px, 0.5rem, 0.7rem); height: 1.1rem; border-radius: 1px; forced-color-adjust: none; }
        """#

    private static let tables = #"""
        table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
        .table-box { max-height: 38rem; overflow: auto; border: 1px solid var(--line); border-radius: 8px; }
        .sortable { width: 100%; font-size: 0.82rem; border-collapse: separate; border-spacing: 0; }
        .sortable th, .sortable td { padding: 0.28rem 0.75rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
        .sortable tbody tr:last-child > * { border-bottom: 0; }
        .sortable .text { text-align: left; }
        .sortable tbody th { text-align: left; font-weight: 400; position: sticky; left: 0; background: var(--panel); }
        .sortable tbody tr:hover > * { background: var(--paper); }
        .sortable thead th { position: sticky; top: 0; background: var(--panel); z-index: 1; padding: 0; }
        .sortable thead th:first-child { left: 0; z-index: 2; }
        .sortable thead button { width: 100%; padding: 0.45rem 0.75rem; text-align: inherit; font-weight: 600; color: var(--quiet); background: none; border: 0;
          cursor: pointer; white-space: nowrap; }
        .sortable thead th[aria-sort] button { color: var(--ink); }
        .sortable thead button::after { content: "↕"; color: var(--quiet); opacity: 0.5; margin-left: 0.35em; }
        .sortable thead [aria-sort="ascending"] button::after { content: "↑"; color: inherit; opacity: 1; }
        .sortable thead [aria-sort="descending"] button::after { content: "↓"; color: inherit; opacity: 1; }
        .name { display: block; max-width: 30rem; overflow: hidden; text-overflow: ellipsis; direction: rtl; padding: 0; background: none; border: 0; cursor: pointer;
          color: var(--accent); text-align: left; }
        .name[aria-pressed="true"] { font-weight: 700; }
        .sortable .opened td { text-align: left; white-space: normal; background: var(--paper); padding: 0.7rem 0.75rem; }
        .opened .detail { position: sticky; left: 0.75rem; width: min(44rem, calc(100vw - 6rem)); }
        .sortable .nothing { text-align: left; color: var(--quiet); padding: 1rem 0.75rem; }
        .plain th, .plain td { text-align: left; padding: 0.2rem 1rem 0.2rem 0; font-weight: 400; font-size: 0.82rem; white-space: nowrap; }
        .plain thead th { color: var(--quiet); }
        @media print { .table-box { max-height: none; } .button, .hint { display: none; } }
        """#

    private static let narrow = #"""
        @media (max-width: 34rem) {
          body { padding-top: 1rem; }
          .facts { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0.5rem; }
          .fact .value { font-size: 1.15rem; overflow-wrap: anywhere; }
          .heat tr > th:first-child { max-width: 7rem; padding-right: 0.4rem; }
          .heat:not(.dense) td, .heat:not(.dense) thead span { min-width: min(var(--room), 2.3rem); width: min(var(--room), 2.3rem); }
          .name { max-width: 10.5rem; }
          .sortable th, .sortable td { padding-inline: 0.5rem; }
          .survival .least { display: none; }
          .columns .bars { height: 8rem; }
        }
        """#
}
