"use strict";
/* A refresh keeps what is unfolded, and how far a table in it was scrolled. */
(() => {
  let open = new Set();
  let places = new Map();
  document.addEventListener("htmx:beforeSwap", () => {
    open = new Set([...document.querySelectorAll("#live details[id][open]")].map((fold) => fold.id));
    places = new Map([...document.querySelectorAll("#live .ap-table-frame[id]")].map((frame) => [frame.id, [frame.scrollLeft, frame.scrollTop]]));
  });
  document.addEventListener("htmx:afterSwap", () => {
    for (const id of open) {
      const fold = document.getElementById(id);
      if (fold) fold.open = true;
    }
    for (const [id, [left, top]] of places) document.getElementById(id)?.scrollTo(left, top);
  });
})();
