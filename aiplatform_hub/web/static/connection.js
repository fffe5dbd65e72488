"use strict";
/* Says when what a page shows may be old, and since when. The stream itself is in aiplatform.js, which tells of it by events. */
(() => {
  const GRACE = 3000; // a hub that restarts, a train in a tunnel: no word of what is over at once
  const SHOWN = 4000;
  const bar = document.getElementById("offline");
  if (!bar) return;
  const words = bar.querySelector("[data-words]");
  const button = bar.querySelector("button");
  const clock = (at) => at.toLocaleTimeString([], { timeStyle: "short" });
  let upToDate = new Date();
  let isLost = false;
  let timer = 0;

  const say = (text, state) => {
    words.textContent = text;
    bar.dataset.state = state;
    button.hidden = state !== "lost";
    bar.hidden = false;
  };
  const lost = () => {
    if (!isLost) upToDate = new Date();
    isLost = true;
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (document.hidden || !isLost) return;
      const why = navigator.onLine ? "The connection to the hub is lost." : "This device is offline.";
      say(`${why} What you see is as of ${clock(upToDate)}; it tries again by itself.`, "lost");
    }, navigator.onLine ? GRACE : 0);
  };
  const back = () => {
    if (!navigator.onLine) return; // it was on its way when the device went offline
    const wasSaid = !bar.hidden && bar.dataset.state === "lost";
    isLost = false;
    clearTimeout(timer);
    if (!wasSaid) return;
    say("Connected again: what you see is up to date.", "back");
    timer = setTimeout(() => {
      bar.hidden = true;
    }, SHOWN);
  };
  document.addEventListener("stream:lost", lost);
  document.addEventListener("stream:open", back);
  addEventListener("offline", lost);
  addEventListener("online", () => document.dispatchEvent(new Event("stream:retry")));
  button.addEventListener("click", () => document.dispatchEvent(new Event("stream:retry")));
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && isLost) lost();
  });
})();
