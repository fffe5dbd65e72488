"use strict";
/* The app around the pages: its service worker, its installation, and notifications that come when no page is open. */
(() => {
  const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";
  const platform = meta("platform");
  const key = meta("push");
  const headers = { "X-XSRFToken": meta("xsrf") };
  const DECLINED = "aiplatform-push-declined";
  const CHECKED = "aiplatform-push-checked";
  const hasWorker = "serviceWorker" in navigator;
  const canPush = hasWorker && "PushManager" in globalThis && "Notification" in globalThis;

  const registered = hasWorker ? navigator.serviceWorker.register(`${platform}service-worker.js?v=${meta("version")}`, { scope: platform }).catch(() => null) : Promise.resolve(null);

  // Installing: browsers offer it by an event of theirs, which a button answers.
  let offer = null;
  const installer = () => document.getElementById("install");
  addEventListener("beforeinstallprompt", (event) => {
    if (!installer()) return;
    event.preventDefault();
    offer = event;
    installer().hidden = false;
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#install") && offer) {
      offer.prompt();
      offer = null;
      installer().hidden = true;
    }
  });

  // Push.
  const sentenceOf = async (reply) => {
    try {
      return (await reply.json()).detail;
    } catch {
      return "The platform does not answer. Try again in a minute.";
    }
  };
  const call = async (path, options = {}) => {
    const reply = await fetch(`${platform}api/v1/${path}`, { ...options, headers: { ...headers, ...options.headers } });
    if (!reply.ok) throw new Error(await sentenceOf(reply));
    return reply.status === 204 ? null : reply.json();
  };
  const hashOf = async (endpoint) => {
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(endpoint));
    return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  };
  const asText = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  const current = async () => (await (await registered)?.pushManager.getSubscription()) ?? null;

  const turnOn = async () => {
    if ((await Notification.requestPermission()) !== "granted") {
      throw new Error("Your browser does not let this site notify you. Allow notifications in its settings for this site, then try again.");
    }
    const { pushManager } = await navigator.serviceWorker.ready;
    const before = await pushManager.getSubscription();
    if (before?.options?.applicationServerKey && asText(before.options.applicationServerKey) !== key) await before.unsubscribe(); // the hub has another key now
    let made;
    try {
      made = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
    } catch {
      throw new Error("Your browser cannot reach its push service, or has none. Nothing was turned on.");
    }
    try {
      await call("push/subscriptions", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(made.toJSON()) });
    } catch (error) {
      await made.unsubscribe();
      throw error;
    }
  };
  const turnOff = async () => {
    const subscription = await current();
    if (!subscription) return;
    const hash = await hashOf(subscription.endpoint);
    await subscription.unsubscribe();
    for (const { id, endpoint_sha256: known } of (await call("push")).subscriptions) if (known === hash) await call(`push/subscriptions/${id}`, { method: "DELETE" });
  };

  // Settings: what this browser does, and the switch for it.
  const showState = async () => {
    const place = document.getElementById("push");
    if (!place) return;
    const subscription = canPush ? await current() : null;
    const hash = subscription ? await hashOf(subscription.endpoint) : "";
    const rows = [...document.querySelectorAll("[data-browser]")];
    let isOn = false;
    for (const row of rows) {
      const isThis = row.dataset.browser === hash;
      isOn ||= isThis;
      row.querySelector("[data-this]").hidden = !isThis;
    }
    const state = place.querySelector("[data-push-state]");
    state.textContent = isOn ? "On in this browser." : "Off in this browser.";
    if (!globalThis.isSecureContext) state.textContent = "This browser notifies only from an https address.";
    else if (!canPush) state.textContent = "This browser cannot notify. On an iPhone or iPad, add this page to the home screen first.";
    else if (Notification.permission === "denied") state.textContent = "This browser blocks notifications of this site. Allow them in its settings for this site.";
    place.querySelector("[data-push-on]").hidden = isOn || !canPush || Notification.permission === "denied";
    place.querySelector("[data-push-off]").hidden = !isOn;
    place.dataset.isOn = isOn ? "yes" : "no";
  };
  const refresh = async () => {
    if (document.getElementById("browsers")) {
      await globalThis.htmx?.ajax("GET", location.pathname, { target: "#browsers", select: "#browsers", swap: "outerHTML" });
    }
    await showState();
  };

  // Whoever waits is asked once, above the page, in words that say what for.
  const ask = async () => {
    const place = document.getElementById("push-offer");
    if (!place) return;
    const waits = document.querySelector("#inbox [data-waiting], [data-state=queued]") && !document.getElementById("push");
    const mayAsk = key && canPush && Notification.permission !== "denied" && !localStorage.getItem(DECLINED);
    place.hidden = !(waits && mayAsk && !(await current()));
  };

  const act = async (button, what) => {
    const error = button.closest("[data-push-place]").querySelector("[data-push-error]");
    error.textContent = "";
    button.disabled = true;
    try {
      await what();
      localStorage.removeItem(DECLINED);
    } catch (problem) {
      error.textContent = problem.message;
    } finally {
      button.disabled = false;
    }
    await refresh();
    if (!error.textContent) await ask();
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-push-on], [data-push-off], [data-push-later]");
    if (!button) return;
    if ("pushLater" in button.dataset) {
      localStorage.setItem(DECLINED, "yes");
      document.getElementById("push-offer").hidden = true;
    } else act(button, "pushOn" in button.dataset ? turnOn : turnOff);
  });

  // A browser that somebody else switched on is not theirs any more once another person is here: each login looks once.
  const check = async () => {
    const subscription = canPush && key ? await current() : null;
    const who = meta("user");
    if (!subscription || sessionStorage.getItem(CHECKED) === who) return;
    const hash = await hashOf(subscription.endpoint);
    const { subscriptions } = await call("push");
    if (!subscriptions.some((each) => each.endpoint_sha256 === hash)) await subscription.unsubscribe();
    sessionStorage.setItem(CHECKED, who);
  };

  const zone = document.querySelector("[data-zone]");
  if (zone) zone.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const sample = document.querySelector("[data-sample]");
  if (sample) sample.textContent = `${new Date().toLocaleString([], { dateStyle: "medium", timeStyle: "short" })} and ${(1234.5).toLocaleString([], { minimumFractionDigits: 2 })}`;
  document.addEventListener("htmx:afterSettle", ask);
  check()
    .catch(() => null)
    .then(showState)
    .then(ask);
})();
