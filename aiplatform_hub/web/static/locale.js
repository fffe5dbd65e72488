"use strict";
/* Amounts in the reader's own notation: `1,234.50 EUR` is `1.234,50 EUR` for a German. Only what has a unit, or a column of numbers; a version is none. */
(() => {
  const format = (digits) => new Intl.NumberFormat([], { minimumFractionDigits: digits, maximumFractionDigits: digits });
  if (format(1).format(1234.5) === "1,234.5") return;
  const NUMBER = "\\d{1,3}(?:,\\d{3})+(?:\\.\\d+)?|\\d+\\.\\d+";
  const UNIT = "[\\s\\u00a0\\u202f](?:[A-Z]{3}|GPU-hours?|hours?|h|[KMGT]iB|%)(?![\\w-])|%";
  const AMOUNT = new RegExp(`(?<![\\d.,\\w-])(?:${NUMBER})(?=${UNIT})`, "g");
  const ALONE = new RegExp(`^(\\s*)(${NUMBER})(\\s*)$`);
  const said = new WeakMap();

  const own = (text) => format((text.split(".")[1] ?? "").length).format(Number(text.replaceAll(",", "")));
  const rewrite = (node) => {
    if (said.get(node) === node.data) return;
    const isColumn = node.parentElement.closest(".ap-number, .ap-figure dd, .ap-compared__value, .ap-compared__before");
    const text = (isColumn ? node.data.replace(ALONE, (_all, head, number, tail) => `${head}${own(number)}${tail}`) : node.data).replace(AMOUNT, own);
    if (text !== node.data) node.data = text;
    said.set(node, text);
  };
  const walk = () => {
    const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT, (node) =>
      node.parentElement.closest("pre, code, time, script, style, textarea, [data-raw]") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT,
    );
    while (nodes.nextNode()) rewrite(nodes.currentNode);
  };
  document.addEventListener("htmx:afterSettle", walk);
  walk();
})();
