/// The page's style sheet.
enum PageStyle {
    static let text = #"""
        :root {
          --paper: #f6f7f5; --panel: #ffffff; --ink: #1c2126; --quiet: #5c666f; --line: #dde1e0; --accent: #0b5cad;
          --good: #1d7a46; --warning: #9a6100; --bad: #b3261e; --neutral: #4b5660;
          --good-soft: #dcefe3; --warning-soft: #f8e7c4; --bad-soft: #f8d9d5;
          --cold: #eaf0f5; --hot: #0b4a8f; --on-cold: #1c2126; --on-hot: #ffffff;
          --bar: #5b8fc7; --focus: #0b5cad;
          font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
          color: var(--ink); background: var(--paper);
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --paper: #14171a; --panel: #1d2125; --ink: #e7eaec; --quiet: #a3adb5; --line: #343b42; --accent: #7ab7ff;
            --good: #6fcf97; --warning: #f0bd5b; --bad: #ff8a80; --neutral: #b4bec6;
            --good-soft: #1f3d2c; --warning-soft: #453413; --bad-soft: #4d2320;
            --cold: #262d34; --hot: #8fc4ff; --on-cold: #e7eaec; --on-hot: #0d1a28;
            --bar: #5f97d3; --focus: #9ccaff;
          }
        }
        * { box-sizing: border-box; }
        body { margin: 0 auto; max-width: 76rem; padding: 1.5rem clamp(0.75rem, 3vw, 2rem) 3rem; }
        h1 { font-size: clamp(1.25rem, 4vw, 1.75rem); line-height: 1.25; margin: 0 0 1rem; overflow-wrap: anywhere; }
        h2 { font-size: 1.1rem; margin: 0 0 0.25rem; }
        h3 { font-size: 0.95rem; margin: 1rem 0 0.25rem; overflow-wrap: anywhere; }
        p { margin: 0 0 0.75rem; }
        .command { color: var(--quiet); margin: 0; font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 0.9rem; }
        .lead { color: var(--quiet); font-size: 0.9rem; margin-bottom: 0.75rem; max-width: 60rem; }
        .panel { background: var(--panel); border: 1px solid var(--line); border-radius: 10px; margin: 1rem 0;
          padding: 1rem clamp(0.75rem, 2vw, 1.25rem); }
        .verdict { border-left: 6px solid var(--neutral); font-size: 1.05rem; overflow-wrap: anywhere; }
        .verdict p { margin: 0; }
        .verdict.good { border-left-color: var(--good); } .verdict.warning { border-left-color: var(--warning); }
        .verdict.bad { border-left-color: var(--bad); }
        .facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.3rem, 1fr)); gap: 0.6rem; margin: 1rem 0; padding: 0; }
        .fact { background: var(--panel); border: 1px solid var(--line); border-radius: 10px; padding: 0.6rem 0.8rem; }
        .fact dt { color: var(--quiet); font-size: 0.8rem; }
        .fact dd { margin: 0; }
        .fact .value { font-size: 1.25rem; font-weight: 650; letter-spacing: -0.01em; line-height: 1.3; }
        .fact .note { color: var(--quiet); font-size: 0.8rem; line-height: 1.35; }
        .notice, .gates { background: var(--panel); border: 1px solid var(--line); border-radius: 10px; padding: 0.6rem 0.9rem; }
        .gates { list-style: none; margin: 1rem 0; }
        .gate { overflow-wrap: anywhere; }
        .gate::before { font-weight: 700; margin-right: 0.5em; }
        .gate.passed::before { content: "✓"; color: var(--good); }
        .gate.failed::before { content: "✗"; color: var(--bad); }
        .controls { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: end; margin: 0.5rem 0 0.75rem; }
        label { display: grid; gap: 0.15rem; font-size: 0.8rem; color: var(--quiet); }
        select, input { font: inherit; font-size: 0.95rem; color: var(--ink); background: var(--paper); border: 1px solid var(--line);
          border-radius: 6px; padding: 0.3rem 0.5rem; max-width: 100%; }
        button { font: inherit; color: inherit; }
        :focus-visible { outline: 2px solid var(--focus); outline-offset: 1px; }
        .two { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1rem; }
        @media (min-width: 60rem) { .two { grid-template-columns: minmax(0, 3fr) minmax(18rem, 2fr); } }
        .scroll { overflow-x: auto; max-width: 100%; }
        table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
        .heat { border-collapse: separate; border-spacing: 2px; width: 100%; table-layout: fixed; max-width: 56rem; }
        .heat th { font-weight: 500; font-size: 0.75rem; color: var(--quiet); padding: 0; }
        .heat thead th { height: 6.2rem; vertical-align: bottom; }
        .heat thead span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; max-height: 6rem; overflow: hidden; }
        .heat tbody th, .heat .corner { width: 2.2rem; text-align: right; padding-right: 0.35rem; vertical-align: middle; }
        .heat .corner { vertical-align: bottom; }
        .cell { display: block; width: 100%; height: 1.6rem; border: 0; border-radius: 4px; padding: 0; font-size: 0.72rem; cursor: pointer;
          overflow: hidden; background: var(--cold); color: var(--on-cold); }
        .cell[aria-pressed="true"] { box-shadow: 0 0 0 2px var(--ink); }
        .heat .none { height: 1.6rem; border-radius: 4px; background: repeating-linear-gradient(135deg, var(--line) 0 1px, transparent 1px 6px); }
        .chips { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: 4px; margin-top: 0.25rem; max-width: 56rem; }
        .chips .cell { display: flex; justify-content: space-between; gap: 0.5rem; padding: 0 0.5rem; align-items: center; }
        .chips .cell span:first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
        .legend { display: flex; align-items: center; gap: 0.5rem; font-size: 0.78rem; color: var(--quiet); margin: 0.5rem 0 0; flex-wrap: wrap; }
        .legend .ramp { width: 8rem; height: 0.7rem; border-radius: 4px; background: linear-gradient(to right in oklab, var(--cold), var(--hot)); }
        .legend .swatch { width: 0.8rem; height: 0.8rem; border-radius: 3px; display: inline-block; vertical-align: -1px; margin-right: 0.3em; }
        .detail { border-left: 3px solid var(--line); padding-left: 0.9rem; min-height: 8rem; }
        .detail h3 { margin-top: 0; font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 0.85rem; }
        .pairs { display: grid; grid-template-columns: auto 1fr; gap: 0.1rem 0.9rem; font-size: 0.85rem; margin: 0.4rem 0 0.8rem; }
        .pairs dt { color: var(--quiet); } .pairs dd { margin: 0; font-variant-numeric: tabular-nums; }
        .small-multiples { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 0.75rem 1.25rem; }
        figure { margin: 0; }
        figcaption { font-size: 0.8rem; color: var(--quiet); overflow-wrap: anywhere; }
        figcaption b { color: var(--ink); font-weight: 600; }
        svg { display: block; width: 100%; height: auto; }
        svg .bar { fill: var(--bar); } svg .zero { fill: var(--quiet); } svg .axis { stroke: var(--line); } svg .cut { stroke: var(--panel); stroke-width: 3; } svg text { fill: var(--quiet); font-size: 9px; }
        .survival { width: 100%; max-width: 56rem; }
        .survival th, .survival td { padding: 0.15rem 0.5rem 0.15rem 0; text-align: left; font-weight: 400; font-size: 0.85rem; white-space: nowrap; }
        .survival thead th { color: var(--quiet); font-size: 0.78rem; }
        .survival .track { width: 100%; }
        .track div { position: relative; height: 0.9rem; border-radius: 4px; min-width: 6rem;
          background: linear-gradient(to right, var(--bad-soft) 0 27.27%, var(--warning-soft) 27.27% 81.82%, var(--good-soft) 81.82%); }
        .track i { position: absolute; inset: 0.15rem auto 0.15rem 0; border-radius: 3px; }
        .dot { display: inline-block; width: 0.6em; height: 0.6em; border-radius: 50%; margin-right: 0.4em; }
        .is-kept { background: var(--good); } .is-thinned { background: var(--warning); } .is-erased { background: var(--bad); }
        .tensors { width: 100%; font-size: 0.82rem; }
        .tensors th, .tensors td { padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
        .tensors td.text, .tensors th.text { text-align: left; }
        .tensors tbody th { text-align: left; font-weight: 400; position: sticky; left: 0; background: var(--panel);
          font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 0.78rem; }
        .tensors thead th { position: sticky; top: 0; background: var(--panel); z-index: 1; padding: 0; }
        .tensors thead th:first-child { left: 0; z-index: 2; }
        .tensors thead button, .name { background: none; border: 0; cursor: pointer; }
        .tensors thead button { width: 100%; padding: 0.35rem 0.6rem; text-align: inherit; font-weight: 600; color: var(--quiet); }
        .tensors thead th[aria-sort] button { color: var(--ink); }
        .tensors thead button::after { content: "↕"; opacity: 0.35; margin-left: 0.35em; }
        .tensors thead [aria-sort="ascending"] button::after { content: "↑"; opacity: 1; }
        .tensors thead [aria-sort="descending"] button::after { content: "↓"; opacity: 1; }
        .name { padding: 0; color: var(--accent); text-align: left; }
        .tensors .opened td { text-align: left; white-space: normal; background: var(--paper); }
        .opened .detail { max-width: 40rem; position: sticky; left: 0.5rem; width: min(40rem, 84vw); }
        .table-box { max-height: 38rem; overflow: auto; border: 1px solid var(--line); border-radius: 8px; }
        .more { margin: 0.6rem 0 0; padding: 0.3rem 0.8rem; border: 1px solid var(--line); border-radius: 6px; background: var(--paper); cursor: pointer; }
        details { margin: 0.5rem 0; } summary { cursor: pointer; }
        pre { background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 0.75rem; overflow: auto; font-size: 0.8rem; max-height: 30rem;
          font-family: ui-monospace, "DejaVu Sans Mono", monospace; }
        code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 0.85em; }
        .plain th, .plain td { text-align: left; padding: 0.2rem 0.9rem 0.2rem 0; font-weight: 400; font-size: 0.82rem; white-space: nowrap; }
        .plain thead th { color: var(--quiet); }
        footer { color: var(--quiet); font-size: 0.8rem; margin-top: 1.5rem; }
        @media (max-width: 30rem) {
          body { padding-top: 1rem; }
          .facts { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0.5rem; }
          .fact .value { font-size: 1.1rem; overflow-wrap: anywhere; }
          .heat { border-spacing: 1px; } .cell { font-size: 0.62rem; }
          .tensors tbody th { max-width: 11rem; } .name { display: block; max-width: 100%; overflow: hidden; text-overflow: ellipsis; direction: rtl; }
          .survival .least { display: none; }
        }
        """#
}
