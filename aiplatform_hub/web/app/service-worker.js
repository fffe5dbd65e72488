"use strict";
/* Keeps the page that is shown when nothing can be reached, and its files: nothing of what pages show, so nothing old is ever shown as new. Shows what is pushed. */
const VERSION = new URL(self.location.href).searchParams.get("v") ?? "";
const SCOPE = new URL(self.registration.scope);
const SHELL = `aiplatform-shell-${VERSION}`;
const at = (path) => new URL(path, SCOPE).href;
const OFFLINE = at("offline");
const FILES = [OFFLINE, ...["aiplatform.css", "shell.css", "offline.js"].map((name) => at(`static/${name}?v=${VERSION}`)), at("static/icons/icon.svg")];

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(caches.open(SHELL).then((cache) => cache.addAll(FILES.map((url) => new Request(url, { cache: "reload" })))));
});

const tidy = async () => {
  for (const name of await caches.keys()) if (name.startsWith("aiplatform-shell-") && name !== SHELL) await caches.delete(name);
  await self.registration.navigationPreload?.enable();
  await self.clients.claim();
};
self.addEventListener("activate", (event) => event.waitUntil(tidy()));

// Everything comes from the network. Without one, a page is the offline page.
const page = async (event) => {
  try {
    return (await event.preloadResponse) ?? (await fetch(event.request));
  } catch {
    return (await caches.match(OFFLINE, { cacheName: SHELL })) ?? Response.error();
  }
};
const file = async (request) => {
  try {
    return await fetch(request);
  } catch {
    return (await caches.match(request, { cacheName: SHELL })) ?? Response.error();
  }
};
self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET") return;
  if (event.request.mode === "navigate") event.respondWith(page(event));
  else if (FILES.includes(event.request.url)) event.respondWith(file(event.request));
});

// Instants come in UTC, because nobody but this browser knows its reader's zone.
const IN_UTC = /(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}) UTC \(\+00:00\)/g;
const local = (sentence) =>
  sentence.replace(IN_UTC, (_text, day, time) => {
    const instant = new Date(`${day}T${time}:00Z`);
    const isToday = instant.toDateString() === new Date().toDateString();
    return isToday ? instant.toLocaleTimeString([], { timeStyle: "short" }) : instant.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  });
const show = (notice) =>
  self.registration.showNotification(String(notice.subject ?? "AI Platform Hub"), {
    body: (notice.sentences ?? []).map((sentence) => local(String(sentence))).join(" "),
    tag: `notice-${notice.id}`,
    icon: at("static/icons/icon-192.png"),
    badge: at("static/icons/badge-96.png"),
    requireInteraction: Boolean(notice.is_urgent),
    data: { url: at(notice.session ? `sessions/${encodeURIComponent(notice.session)}` : "home") },
  });
self.addEventListener("push", (event) => {
  let notice = {};
  try {
    notice = event.data.json();
  } catch {
    // not ours: the browser still demands that something is shown
  }
  event.waitUntil(show(notice ?? {}));
});

const open = async (url) => {
  const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const shown = pages.find((client) => client.url.split(/[?#]/)[0] === url);
  return shown ? shown.focus() : self.clients.openWindow(url);
};
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const url = event.notification.data?.url ?? at("home");
  event.waitUntil(url.startsWith(SCOPE.href) ? open(url) : open(at("home")));
});
