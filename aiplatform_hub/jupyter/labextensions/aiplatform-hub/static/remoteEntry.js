"use strict";
/* Says inside JupyterLab when the GPUs of this session are given back, and keeps them by one click.
   A federated extension without a build step: it imports nothing, and speaks through JupyterLab's own notification commands. */
(() => {
  const POLL = 60_000;
  const POLL_WARNED = 20_000;
  const TICK = 5_000;
  const LATE = 3_000; // so long after its deadline a session is looked at again
  const EXTEND = "aiplatform-hub:extend";
  const HOME = "aiplatform-hub:home";

  const clock = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

  const left = (milliseconds) => {
    const seconds = Math.max(0, Math.round(milliseconds / 1000));
    if (seconds >= 90) return `in ${Math.round(seconds / 60)} min`;
    return seconds > 10 ? `in ${Math.round(seconds / 10) * 10} s` : "now";
  };

  /* Whether the GPUs go at an instant: nothing else has to happen, or somebody waits who could use them. */
  const isLooming = (release, now) => !release.is_if_somebody_waits || (release.is_somebody_waiting && Date.parse(release.deadline) > now);

  const span = (milliseconds) => {
    const minutes = Math.max(1, Math.round(milliseconds / 60_000));
    const parts = [Math.floor(minutes / 60) ? `${Math.floor(minutes / 60)} h` : "", minutes % 60 ? `${minutes % 60} min` : ""];
    return parts.filter(Boolean).join(" ");
  };

  /* What is said of a warning; no longer than the 140 characters that a notification shows. */
  const sentence = (release, now) => {
    const until = Date.parse(release.deadline);
    if (release.why === "inactive") return `${release.message} It is stopped after ${clock(until)}, unless somebody uses it.`;
    if (isLooming(release, now)) {
      const isSure = !release.is_if_somebody_waits || release.why === "idle"; // over its cap only for who is more entitled
      return `${release.message} They ${isSure ? "are" : "may be"} given back at ${clock(until)}, ${left(until - now)}.`;
    }
    const from = until > now ? `, from ${clock(until)} on` : "";
    return `${release.message} Nobody needs them now; they go as soon as somebody does${from}.`;
  };

  class Watch {
    constructor(app) {
      this.commands = app.commands;
      this.settings = app.serviceManager.serverSettings;
      this.last = null; // what the platform said last
      this.ahead = 0; // how far the server's clock is ahead of this one, in milliseconds
      this.toast = null;
      this.shown = "";
      this.timer = 0;
      this.isOver = false;
    }

    async call(method, path) {
      const headers = { "Content-Type": "application/json" };
      if (this.settings.token) headers.Authorization = `token ${this.settings.token}`;
      const xsrf = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/);
      if (xsrf) headers["X-XSRFToken"] = xsrf[1];
      return fetch(`${this.settings.baseUrl}aiplatform/${path}`, { method, headers, credentials: "same-origin", cache: "no-store" });
    }

    now() {
      return Date.now() + this.ahead;
    }

    /* Looks, unless nobody would see it; then again, rarely. */
    async look() {
      clearTimeout(this.timer);
      if (this.isOver || document.hidden) return;
      try {
        const reply = await this.call("GET", "session");
        if (reply.ok) await this.take(await reply.json());
        else if (this.isGone(reply)) await this.tellTheEnd();
      } catch {
        // The server or the platform is away: there is nothing to say.
      }
      this.plan();
    }

    plan() {
      clearTimeout(this.timer);
      if (this.isOver) return;
      const release = this.last?.release;
      const isWarned = release && release.action !== "keep";
      const toDeadline = isWarned && isLooming(release, this.now()) ? Date.parse(release.deadline) + LATE - this.now() : Infinity;
      this.timer = setTimeout(() => this.look(), Math.max(1000, Math.min(isWarned ? POLL_WARNED : POLL, toDeadline > 0 ? toDeadline : Infinity)));
    }

    /* The hub answers for a server that is gone. */
    isGone(reply) {
      const release = this.last?.release;
      return [424, 503].includes(reply.status) && Boolean(release) && release.action !== "keep";
    }

    async take(session) {
      if (!session.release) {
        await this.dismiss();
        this.last = session;
        return;
      }
      if (session.as_of) this.ahead = Date.parse(session.as_of) - Date.now();
      const before = this.last?.release;
      this.last = session;
      const release = session.release;
      if (release.action === "keep") {
        await this.dismiss();
      } else if (before?.action === release.action && before?.deadline === release.deadline && before?.why === release.why && before?.is_somebody_waiting === release.is_somebody_waiting) {
        await this.tick();
      } else {
        await this.warn();
      }
    }

    async warn() {
      await this.dismiss();
      this.shown = sentence(this.last.release, this.now());
      this.toast = await this.commands.execute("apputils:notify", { message: this.shown, type: "warning", options: { autoClose: false, actions: this.actions() } });
    }

    actions() {
      const actions = [];
      const until = Date.parse(this.last.release.can_extend_until ?? "");
      if (until) actions.push({ label: `Keep it ${span(until - this.now())} longer`, commandId: EXTEND, caption: `Keep these GPUs until ${clock(until)}`, displayType: "accent" });
      if (this.last.home_url) actions.push({ label: "Open Home", commandId: HOME, caption: "Open the platform's Home in a new tab" });
      return actions;
    }

    /* Counts down, but leaves alone what was closed. */
    async tick() {
      if (!this.toast || !this.last?.release || !document.getElementById(this.toast)) return;
      const text = sentence(this.last.release, this.now());
      if (text === this.shown) return;
      this.shown = text;
      await this.commands.execute("apputils:update-notification", { id: this.toast, message: text, type: "warning", autoClose: false, actions: this.actions() });
    }

    async dismiss() {
      if (!this.toast) return;
      const id = this.toast;
      this.toast = null;
      await this.commands.execute("apputils:dismiss-notification", { id });
    }

    async say(message, type) {
      return this.commands.execute("apputils:notify", { message, type, options: { autoClose: type === "success" ? 8000 : false } });
    }

    async extend() {
      let reply = null;
      try {
        reply = await this.call("POST", "session/extend");
        const answer = await reply.json();
        if (!reply.ok) throw new Error(answer.detail);
        await this.dismiss();
        this.last = answer;
        await this.say(`Kept until ${clock(answer.release?.extended_until ?? answer.release?.deadline)}.`, "success");
      } catch (error) {
        await this.say((reply && error.message) || "It could not be kept: the platform does not answer. Try again on Home.", "error");
      }
      this.toast = null;
      await this.look();
    }

    async tellTheEnd() {
      await this.dismiss();
      this.isOver = true;
      await this.commands.execute("apputils:notify", {
        message: "This session has ended and its GPUs were given back. Files in your home folder stay.",
        type: "warning",
        options: { autoClose: false, actions: this.last?.home_url ? [{ label: "Open Home", commandId: HOME, displayType: "accent" }] : [] },
      });
    }

    start() {
      this.commands.addCommand(EXTEND, { label: "Keep this session's GPUs longer", execute: () => this.extend() });
      this.commands.addCommand(HOME, { label: "Open the platform's Home", execute: () => void window.open(this.last?.home_url, "_blank", "noopener") });
      document.addEventListener("visibilitychange", () => this.look());
      setInterval(() => this.tick().catch(() => {}), TICK);
      return this.look();
    }
  }

  const plugin = {
    id: "aiplatform-hub:session",
    description: "Says when the GPUs of this session are given back.",
    autoStart: true,
    activate: (app) => {
      app.restored.then(() => new Watch(app).start()).catch((error) => console.warn("aiplatform-hub:", error));
    },
  };

  globalThis._JUPYTERLAB = globalThis._JUPYTERLAB ?? {};
  globalThis._JUPYTERLAB["aiplatform-hub"] = {
    init: async () => {},
    get: async () => () => ({ __esModule: true, default: plugin }),
  };
})();
