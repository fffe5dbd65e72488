"use strict";
/* Reads what is new as soon as the stream tells of it, and says it in the tab's title until somebody looks. */
(() => {
  const WATCH = 15_000;
  const inbox = () => document.getElementById("inbox");
  const newest = () => Number(inbox()?.querySelector("[data-newest]")?.dataset.newest ?? 0);
  const entries = () => new Map([...document.querySelectorAll("#inbox [data-notice]")].map((entry) => [entry.dataset.notice, entry.dataset.subject]));
  const read = () => globalThis.htmx?.trigger("#inbox", "fresh");
  const usual = document.title;
  let shown = entries();
  let title = "";
  let hadFocus = false;

  // What had the keyboard is gone: the next entry has it, or else the page's heading.
  const goOn = () => {
    const place = document.querySelector("#inbox button") ?? document.querySelector("h1");
    if (place?.matches("h1")) place.tabIndex = -1;
    place?.focus();
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.body.addEventListener("notification", (event) => {
      if (event.detail.newest_id > newest()) read();
    });
    shown = entries();
  });
  // A hidden page has no stream; while something of its reader waits, it looks by itself.
  setInterval(() => {
    if (document.hidden && inbox()?.querySelector("[data-waiting]")) read();
  }, WATCH);

  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target?.id === "inbox") hadFocus = Boolean(document.activeElement?.closest("#inbox"));
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target?.id === "inbox") {
      const now = entries();
      const added = [...now].filter(([id]) => !shown.has(id));
      if (added.length) title = added.length === 1 ? added[0][1] : `${added.length} notifications`;
      shown = now;
      if (hadFocus && document.activeElement === document.body) goOn();
    }
    if (title) document.title = title;
  });
  const noticed = () => {
    if (title && document.title === title) document.title = usual;
    title = "";
  };
  for (const sign of ["pointerdown", "keydown", "focus"]) addEventListener(sign, noticed);
})();
