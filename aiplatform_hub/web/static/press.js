"use strict";
/* What moves by itself holds still while something is pressed: a control that is replaced between press and release has no click. */
(() => {
  const LIVE = new Set(["live", "fresh", "announcement"]); // what the stream asks for; the answer to what somebody did is shown at once
  const CLICK = 50; // a touch clicks a moment after its release
  const LONGEST = 10_000; // a release that nobody heard of, as outside the window
  const held = new Map();
  let isPressed = false;
  let timer = 0;
  const letGo = () => {
    isPressed = false;
    for (const [element, what] of held) globalThis.htmx.trigger(element, what);
    held.clear();
  };
  const after = (milliseconds) => {
    clearTimeout(timer);
    timer = setTimeout(letGo, milliseconds);
  };
  const press = () => {
    isPressed = true;
    after(LONGEST);
  };
  const release = () => isPressed && after(CLICK);
  addEventListener("pointerdown", (event) => event.button === 0 && press(), true);
  addEventListener("keydown", (event) => event.key === " " && press(), true);
  for (const sign of ["pointerup", "pointercancel", "keyup", "blur"]) addEventListener(sign, release, true);
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { elt, triggeringEvent } = event.detail.requestConfig;
    if (!isPressed || !LIVE.has(triggeringEvent?.type)) return;
    event.detail.shouldSwap = false;
    held.set(elt, triggeringEvent.type);
  });
})();
