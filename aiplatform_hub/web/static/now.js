// Admin's first page: says how many rows are chosen. A refresh keeps the boxes (hx-preserve).
(() => {
  "use strict";
  const count = document.querySelector("[data-chosen-count]");
  if (!count) return;
  const buttons = document.querySelectorAll("#chosen button");
  const tell = () => {
    const chosen = document.querySelectorAll("[data-pick]:checked").length;
    count.textContent = chosen ? `${chosen} chosen` : "";
    for (const button of buttons) button.disabled = !chosen;
  };
  document.addEventListener("change", (event) => event.target.matches?.("[data-pick]") && tell());
  document.addEventListener("htmx:afterSettle", tell);
  addEventListener("pageshow", tell);
  tell();
})();
