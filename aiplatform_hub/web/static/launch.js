"use strict";
/* Copies what is to be shared, and empties the name once it is saved. The page works without this file. */
(() => {
  const show = () => {
    for (const button of document.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const field = document.getElementById(button.dataset.copy);
    const said = [...button.childNodes];
    try {
      await navigator.clipboard.writeText(field.value);
      button.replaceChildren("Copied");
      setTimeout(() => button.replaceChildren(...said), 2000);
    } catch {
      field.select(); // no clipboard here, as without https: the keys for copying work on what is selected
    }
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    show();
    const name = document.getElementById("preset_name");
    if (event.detail.requestConfig?.elt?.id === "save-preset" && name && !document.querySelector("#keep-news .ap-error")) name.value = "";
  });
  show();
})();
