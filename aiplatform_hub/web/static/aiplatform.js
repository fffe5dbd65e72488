"use strict";
/* Makes pages move and answers at once. Every page also works without this file. */
(() => {
  const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";
  const platform = meta("platform");
  const headers = { "X-XSRFToken": meta("xsrf") };

  // Times in the reader's own zone and language, with the zone in the tooltip. A format is dear to make: each is made once.
  const inFull = new Intl.DateTimeFormat([], { dateStyle: "full", timeStyle: "long" });
  const asTime = new Intl.DateTimeFormat([], { timeStyle: "short" });
  const asDay = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "short" });
  const showTimes = (root) => {
    for (const element of root.querySelectorAll("time[datetime]")) {
      const at = new Date(element.dateTime);
      element.title = inFull.format(at);
      const isToday = at.toDateString() === new Date().toDateString();
      const text = ("short" in element.dataset && isToday ? asTime : asDay).format(at);
      element.textContent = text.replace(/(\d)\s(?=[AP]M\b)/g, "$1\u00a0"); // on one line
    }
  };

  // Counts down by the server's clock, without asking it.
  const ahead = new WeakMap();
  const countDown = () => {
    for (const element of document.querySelectorAll("[data-countdown]")) {
      if (!ahead.has(element)) ahead.set(element, Date.parse(element.dataset.now) - Date.now());
      const left = Math.round((Date.parse(element.dataset.countdown) - Date.now() - ahead.get(element)) / 1000);
      const minutes = Math.floor(left / 60);
      element.textContent = left <= 0 ? "now" : `in ${minutes ? `${minutes} min ` : ""}${String(left % 60).padStart(minutes ? 2 : 1, "0")} s`;
      if (left <= -2 && !("isOver" in element.dataset)) {
        element.dataset.isOver = "";
        refresh();
      }
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
    const body = { if_full: "queue" };
    for (const [name, value] of new FormData(form)) {
      if (name === "_xsrf" || value === "") continue;
      body[name] = integers.has(name) && /^[0-9]+$/.test(value) ? Number(value) : value;
    }
    if (body.gpus === 0) delete body.gpu_type;
    return body;
  };

  // What the last start was refused for: it outlives every refresh until something else is chosen.
  let refusal = null;

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
        if (allocation.state === "queued") {
          location.assign(`${platform}home#environment-${allocation.id}`);
          if (document.getElementById("live")) refresh(); // there already: only the fragment changes
          return;
        }
        const hub = platform.replace(/services\/platform\/$/, "hub/");
        const path = [allocation.user, allocation.server_name].filter(Boolean).map(encodeURIComponent).join("/");
        location.assign(`${hub}spawn-pending/${path}`);
        return;
      }
      const problem = await readProblem(reply);
      const place = form.querySelector("#problem");
      form.dataset.key = newKey();
      if (!place) {
        location.assign(`${platform}launch?${new URLSearchParams([...new FormData(form)].filter(([name]) => name !== "_xsrf"))}`);
        return;
      }
      refusal = explain(problem);
      place.replaceChildren(refusal);
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
    if (form.hasAttribute("aria-busy")) return;
    form.dataset.key ??= newKey();
    launch(form);
  });

  // Another environment template brings its own defaults: what was chosen for the one before is gone at once, not when the answer comes.
  const forget = (form) => {
    for (const radio of form.querySelectorAll("[name=gpus]")) radio.checked = false;
    for (const field of form.querySelectorAll("[name=memory_gib], [name=cpu_cores]")) field.value = "";
    for (const list of form.querySelectorAll("[name=gpu_type]")) list.selectedIndex = -1;
  };

  document.addEventListener("change", (event) => {
    const form = event.target.closest?.("form[data-launch]");
    if (!form) return;
    delete form.dataset.key;
    refusal = null;
    globalThis.htmx?.trigger(form, "htmx:abort"); // its answer is about what was chosen before
    if (event.target.name === "environment_template") forget(form);
  });

  // The hub's rule asks for the token on every request of a script.
  document.addEventListener("htmx:configRequest", (event) => Object.assign(event.detail.headers, headers));

  // A refresh that was answered by the login page, or by an error, must not replace what is shown.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr } = event.detail;
    if (xhr.responseURL && !new URL(xhr.responseURL).pathname.startsWith(platform)) {
      event.detail.shouldSwap = false;
      location.reload();
      return;
    }
    // What was asked for is refused: the answer is the page with the reason on it.
    if (xhr.status >= 400 && event.detail.requestConfig.verb === "post") {
      event.detail.shouldSwap = /id="(live|presets)"/.test(xhr.responseText);
      event.detail.isError = false;
      if (!event.detail.shouldSwap) location.reload();
    }
    before();
  });
  let isFoldOpen = false;
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.requestConfig.verb === "post") document.getElementById("refusal")?.replaceChildren();
    isFoldOpen = document.getElementById("advanced")?.open ?? false;
  });
  document.addEventListener("htmx:afterSwap", () => {
    showTimes(document); // before it is seen
    if (refusal) document.getElementById("problem")?.replaceChildren(refusal);
  });
  document.addEventListener("htmx:afterSettle", () => {
    const fold = document.getElementById("advanced");
    if (fold && isFoldOpen) fold.open = true;
    showTimes(document);
    countDown();
    after();
  });

  // A refresh keeps what is chosen in a list and where the keyboard is, and says which environment moved on.
  const news = new Map();
  let title = "";
  let shown = new Map();
  let lists = new Map();
  let hadFocus = false;
  const environments = () => new Map([...document.querySelectorAll("#live [data-state]")].map((card) => [card.id, card]));
  const stateOf = ({ dataset }) => ({ state: dataset.state, release: dataset.release ?? "" });
  const statesOf = (cards) => new Map([...cards].map(([id, card]) => [id, stateOf(card)]));
  const before = () => {
    lists = new Map([...document.querySelectorAll("#live select")].map((list) => [list.id, list.value]));
    hadFocus = Boolean(document.activeElement?.closest("#live"));
  };
  const after = () => {
    for (const [id, value] of lists) {
      const list = document.getElementById(id);
      if ([...(list?.options ?? [])].some((option) => option.value === value)) list.value = value;
    }
    if (hadFocus && document.activeElement === document.body) document.querySelector("#live h1")?.focus();
    hadFocus = false;
    tell();
    if (title) document.title = title;
  };
  // A card has its words in itself, the page of one session beside its head.
  const wordsOf = (card, what) => (card.matches("li") ? card : document.getElementById("live")).querySelector(what)?.textContent.trim();
  const whyOf = (card) => wordsOf(card, "[data-why]") ?? "it has ended.";
  const releaseOf = ({ release: was }, card) => {
    const { release, name } = card.dataset;
    const words = wordsOf(card, "[data-release-words] p, p[data-release-words]");
    if (!words || !was || !release || release === was) return null;
    if (release !== "keep") return ["Warning", `${name}: ${words}`];
    return ["", `${name}: ${words.startsWith("You keep") ? words : "the warning is over, it goes on."}`];
  };
  const sentenceOf = (card, before) => {
    const { state, name } = card.dataset;
    const was = before.state;
    if (state === was) return releaseOf(before, card);
    const moved = `${was} ${state}`;
    if (state === "ended" && "released" in card.dataset) return ["Given back", `${name}: ${whyOf(card)}`];
    if (moved === "queued starting") return ["Starting", `${name}: its turn has come, it is starting.`];
    if (moved === "starting queued") return ["Waiting", `${name} could not be started and is back in the queue.`];
    if (state === "running" && ["queued", "starting"].includes(was)) return ["Ready", `${name} is ready.`];
    if (moved === "queued ended" && !card.id.endsWith(stopping || "-")) return ["Left the queue", `${name}: ${whyOf(card)}`];
    return null;
  };
  const tell = () => {
    const cards = environments();
    let isNew = false;
    for (const [id, card] of cards) {
      const was = shown.get(id);
      const is = stateOf(card);
      if (was === undefined || (was.state === is.state && was.release === is.release)) continue;
      news.delete(id);
      const told = sentenceOf(card, was);
      if (!told) continue;
      news.set(id, told);
      if (told[0]) title = `${told[0]}: ${card.dataset.name}`;
      isNew = true;
    }
    for (const id of [...news.keys()]) if (!cards.has(id)) news.delete(id);
    shown = statesOf(cards);
    const place = document.getElementById("news");
    const lines = [...news.values()];
    if (!place || (!isNew && place.childElementCount === lines.length)) return;
    // A card shows its warning itself: this is for those who cannot see that it has come.
    const className = (kind) => (kind === "Warning" ? "visually-hidden" : "ap-wrap");
    place.replaceChildren(...lines.map(([kind, text]) => Object.assign(document.createElement("p"), { className: className(kind), textContent: text })));
  };
  const usualTitle = document.title;
  const noticed = () => {
    if (!title) return;
    title = "";
    document.title = usualTitle;
  };
  for (const sign of ["pointerdown", "keydown", "focus"]) addEventListener(sign, noticed);

  // Stopping and withdrawing ask first and say what is lost.
  const dialog = document.getElementById("confirm-dialog");
  let stopping = "";
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-stop]");
    if (!link || !dialog?.showModal || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    stopping = link.dataset.stop;
    for (const part of ["title", "text", "yes", "no"]) document.getElementById(`confirm-${part}`).textContent = link.dataset[part];
    document.getElementById("confirm-error").textContent = "";
    dialog.showModal();
    document.getElementById("confirm-no").focus();
  });
  // What asked may have been replaced meanwhile: the keyboard stays on the page.
  dialog?.addEventListener("close", () => {
    if (document.activeElement === document.body) document.querySelector("#live h1")?.focus();
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

  // What moves: one event stream while the page is visible, refreshed a few times a second at most.
  const LIVE = "#live, #launch, #inbox";
  const PATIENCE = 10_000;
  const WATCH = 15_000;
  let stream = null;
  let timer = 0;
  let waitsUntil = 0;
  const isTyping = () => {
    const field = document.activeElement;
    return Boolean(field?.matches("#live select, #choices select, #choices input:not([type=radio])"));
  };
  const refresh = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      waitsUntil ||= Date.now() + PATIENCE;
      if (isTyping() && Date.now() < waitsUntil) {
        refresh(); // a list that is open would close
        return;
      }
      waitsUntil = 0;
      document.body.dispatchEvent(new Event("live"));
      const form = document.getElementById("launch");
      if (form && !isTyping() && !form.hasAttribute("aria-busy")) globalThis.htmx?.trigger(form, "fresh");
    }, 300);
  };
  const KINDS = ["allocation", "capacity", "quota", "cost", "queue", "release"];
  const say = (what) => document.dispatchEvent(new Event(`stream:${what}`)); // connection.js shows it
  let wasLost = false;
  let state = meta("state"); // what the first stream need not tell: the page shows it
  const listen = () => {
    if (stream || document.hidden || !document.querySelector(LIVE)) return;
    stream = new EventSource(`${platform}api/v1/events?_xsrf=${encodeURIComponent(meta("xsrf"))}&state=${state}`);
    state = "";
    for (const kind of KINDS) {
      if (kind !== "cost" || document.getElementById("live")) stream.addEventListener(kind, refresh); // costs change no choice
    }
    stream.addEventListener("notification", (event) => {
      document.body.dispatchEvent(new CustomEvent("notification", { detail: JSON.parse(event.data) }));
      refresh(); // a card says until when to open it, as the notice does
    });
    stream.addEventListener("announcement", () => document.body.dispatchEvent(new Event("announcement")));
    stream.onopen = () => {
      say("open");
      if (wasLost) {
        refresh();
        document.body.dispatchEvent(new Event("announcement"));
      }
      wasLost = false;
    };
    stream.onerror = () => {
      wasLost = true;
      say("lost");
      if (stream?.readyState === EventSource.CLOSED) {
        stream = null;
        setTimeout(listen, 5000);
      }
    };
  };
  const hush = () => {
    stream?.close();
    stream = null;
  };
  const resume = () => {
    hush();
    wasLost = true; // what changes until the stream is open is in no event
    listen();
    refresh();
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? hush() : resume()));
  document.addEventListener("stream:retry", () => document.hidden || resume());
  addEventListener("pageshow", (event) => event.persisted && resume()); // back from the browser's memory: what it shows is old
  addEventListener("pagehide", hush);
  // A device that slept has a stream that only seems to be open.
  const BEAT = 5000;
  let beat = Date.now();
  setInterval(() => {
    const slept = Date.now() - beat > 6 * BEAT;
    beat = Date.now();
    if (slept && !document.hidden) resume();
  }, BEAT);
  // A hidden page has no stream; while something of its reader waits, it looks by itself, so that its title can say when the turn has come.
  // What runs may be taken back: that is looked at less often, since the warning comes minutes before.
  const watch = (what, every) => setInterval(() => document.hidden && document.querySelector(what) && refresh(), every);
  watch("#live [data-state=queued], #live [data-state=starting]", WATCH);
  watch("#live [data-release]", 4 * WATCH);
  setInterval(countDown, 1000);

  showTimes(document);
  countDown();
  shown = statesOf(environments());
  listen();
})();
