"use strict";
/* The page that the service worker shows when nothing answers: goes back to what was asked for as soon as something does. */
(() => {
  const stored = localStorage.getItem("jupyterhub-bs-theme");
  const isDark = stored ? stored === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.setAttribute("data-bs-theme", isDark ? "dark" : "light");

  const EVERY = 15_000;
  const tryAgain = async () => {
    const platform = document.querySelector('meta[name="platform"]').content;
    try {
      const reply = await fetch(`${platform}api/v1/openapi.json`, { method: "HEAD", cache: "no-store" });
      if (reply.ok) location.reload();
    } catch {
      // still not there
    }
    document.getElementById("tried").textContent = `Tried at ${new Date().toLocaleTimeString()}; it tries again by itself every 15 seconds.`;
  };
  const sayWhy = () => {
    document.querySelector("[data-when-offline]").hidden = navigator.onLine;
    document.querySelector("[data-when-online]").hidden = !navigator.onLine;
  };
  document.addEventListener("DOMContentLoaded", () => {
    sayWhy();
    document.getElementById("again").addEventListener("click", () => location.reload());
  });
  addEventListener("online", () => {
    sayWhy();
    tryAgain();
  });
  addEventListener("offline", sayWhy);
  setInterval(() => document.hidden || tryAgain(), EVERY);
})();
