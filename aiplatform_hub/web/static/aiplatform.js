"use strict";
/* Makes pages move and answers at once. Every page also works without this file. */
(() => {
  const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";
  const platform = meta("platform");
  const headers = { "X-XSRFToken": meta("xsrf") };

  // Times in the reader's own zone and language, with the zone in the tooltip.
  const showTimes = (root) => {
    for (const element of root.querySelectorAll("time[datetime]")) {
      const at = new Date(element.dateTime);
      element.title = `${at.toLocaleString([], { dateStyle: "full", timeStyle: "long" })}`;
      element.textContent = at.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    }
  };

  const readProblem = async (reply) => {
    try {
      return await reply.json();
    } catch {
      return { detail: "The platform does not answer. Try again in a minute.", reasons: [] };
    }
  };

  const explain = (problem) => {
    const box = document.createElement("div");
    box.className = "ap-alert";
    box.setAttribute("role", "alert");
    const sentence = document.createElement("p");
    sentence.append(Object.assign(document.createElement("strong"), { textContent: problem.detail ?? problem.title }));
    box.append(sentence);
    const lines = new Set();
    for (const reason of problem.reasons ?? []) {
      if (reason.message && !(problem.detail ?? "").includes(reason.message)) lines.add(reason.message);
      for (const remedy of reason.remedies ?? []) lines.add(remedy);
    }
    if (lines.size) {
      const list = document.createElement("ul");
      for (const line of lines) list.append(Object.assign(document.createElement("li"), { textContent: line }));
      box.append(list);
    }
    return box;
  };

  // Launching: the same request that a script sends to the REST API.
  const integers = new Set(["gpus", "memory_gib", "cpu_cores", "max_hours"]);
  const bodyOf = (form) => {
    const body = { if_full: "fail" };
    for (const [name, value] of new FormData(form)) {
      if (name === "_xsrf" || value === "") continue;
      body[name] = integers.has(name) && /^[0-9]+$/.test(value) ? Number(value) : value;
    }
    if (body.gpus === 0) delete body.gpu_type;
    return body;
  };

  const launch = async (form) => {
    const button = form.querySelector("button:not([formmethod])");
    button.disabled = true;
    form.setAttribute("aria-busy", "true");
    try {
      const reply = await fetch(`${platform}api/v1/allocations`, {
        method: "POST",
        headers: { ...headers, "Content-Type": "application/json", "Idempotency-Key": form.dataset.key },
        body: JSON.stringify(bodyOf(form)),
      });
      if (reply.ok) {
        const allocation = await reply.json();
        const hub = platform.replace(/services\/platform\/$/, "hub/");
        const path = [allocation.user, allocation.server_name].filter(Boolean).map(encodeURIComponent).join("/");
        location.assign(`${hub}spawn-pending/${path}`);
        return;
      }
      const place = form.querySelector("#problem");
      form.dataset.key = newKey();
      if (!place) {
        location.assign(`${platform}launch?${new URLSearchParams([...new FormData(form)].filter(([name]) => name !== "_xsrf"))}`);
        return;
      }
      place.replaceChildren(explain(await readProblem(reply)));
      place.focus();
      place.scrollIntoView({ block: "nearest" });
    } catch {
      form.dataset.native = "yes";
      form.submit();
    } finally {
      button.disabled = false;
      form.removeAttribute("aria-busy");
    }
  };

  const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-launch]") || event.submitter?.hasAttribute("formmethod")) return;
    event.preventDefault();
    form.dataset.key ??= newKey();
    launch(form);
  });

  document.addEventListener("change", (event) => {
    const form = event.target.closest?.("form[data-launch]");
    if (form) delete form.dataset.key;
  });

  // The hub's rule asks for the token on every request of a script; another environment template brings its own defaults.
  document.addEventListener("htmx:configRequest", (event) => {
    Object.assign(event.detail.headers, headers);
    const cause = event.detail.triggeringEvent?.target;
    if (cause?.name !== "environment_template") return;
    for (const name of ["gpus", "gpu_type", "memory_gib", "cpu_cores"]) event.detail.parameters.delete?.(name) ?? delete event.detail.parameters[name];
  });

  // A refresh that was answered by the login page, or by an error, must not replace what is shown.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr } = event.detail;
    if (xhr.responseURL && !new URL(xhr.responseURL).pathname.startsWith(platform)) {
      event.detail.shouldSwap = false;
      location.reload();
    }
  });
  let isFoldOpen = false;
  document.addEventListener("htmx:beforeRequest", () => {
    isFoldOpen = document.getElementById("advanced")?.open ?? false;
  });
  document.addEventListener("htmx:afterSettle", () => {
    const fold = document.getElementById("advanced");
    if (fold && isFoldOpen) fold.open = true;
    showTimes(document);
  });

  // Stopping asks first and says what is lost.
  const dialog = document.getElementById("confirm-dialog");
  let stopping = "";
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-stop]");
    if (!link || !dialog?.showModal || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    stopping = link.dataset.stop;
    document.getElementById("confirm-title").textContent = `Stop ${link.dataset.name}?`;
    document.getElementById("confirm-error").textContent = "";
    dialog.showModal();
    document.getElementById("confirm-no").focus();
  });
  document.getElementById("confirm-no")?.addEventListener("click", () => dialog.close());
  document.getElementById("confirm-yes")?.addEventListener("click", async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    try {
      const reply = await fetch(`${platform}api/v1/allocations/${stopping}`, { method: "DELETE", headers });
      if (!reply.ok) throw new Error((await readProblem(reply)).detail);
      dialog.close();
      refresh();
    } catch (error) {
      document.getElementById("confirm-error").textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });

  // What moves: one event stream while the page is visible, refreshed at most once a second.
  let stream = null;
  let timer = 0;
  const refresh = () => {
    clearTimeout(timer);
    timer = setTimeout(() => document.body.dispatchEvent(new Event("live")), 300);
  };
  const offline = document.getElementById("offline");
  const listen = () => {
    if (stream || document.hidden || !document.getElementById("live")) return;
    stream = new EventSource(`${platform}api/v1/events?_xsrf=${encodeURIComponent(meta("xsrf"))}`);
    let wasLost = false;
    for (const kind of ["allocation", "capacity", "quota", "cost"]) stream.addEventListener(kind, refresh);
    stream.onopen = () => {
      offline.hidden = true;
      if (wasLost) refresh();
      wasLost = false;
    };
    stream.onerror = () => {
      wasLost = true;
      setTimeout(() => {
        if (wasLost && !document.hidden) offline.hidden = false;
      }, 3000);
      if (stream?.readyState === EventSource.CLOSED) {
        stream = null;
        setTimeout(listen, 5000);
      }
    };
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      stream?.close();
      stream = null;
    } else {
      listen();
      refresh();
    }
  });

  showTimes(document);
  listen();
})();
