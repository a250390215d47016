// One file on its way: its states, its speed, and when it is tried again.

import { explain, NetworkFailure } from "./server.js";

export const State = Object.freeze({
  WAITING: "waiting", // for its turn
  SENDING: "sending",
  RETRYING: "retrying", // until `retryAt`
  PAUSED: "paused",
  LOCKED: "locked", // needs another token
  FILELESS: "fileless", // found after a reload; needs the same file again
  FAILED: "failed",
  DONE: "done",
  GONE: "gone",
});

const DELAYS = [500, 1000, 2000, 4000, 8000, 15000]; // milliseconds; the last one repeats
const MAX_SILENCE = 60; // seconds without a byte
const MAX_FAILURES = 20; // in a row, without a byte of progress

/** Event: `changed`, whenever the state did. */
export class Transfer extends EventTarget {
  stored = null; // what Unfinished keeps of it
  sent = 0; // bytes
  message = "";
  retryAt = 0; // milliseconds, of performance.now()
  #state = State.WAITING;
  #stop = new AbortController();
  #wake = () => {};
  #meter = new Meter();

  constructor({ file = null, stored = null, sender, isParallel = false }) {
    super();
    this.file = file;
    this.stored = stored;
    this.sender = sender;
    this.isParallel = isParallel || Boolean(stored?.parallelUploadUrls);
    this.name = file?.name ?? stored.file.name;
    this.type = file?.type ?? stored.file.type;
    this.size = file?.size ?? stored.size;
    if (file === null) this.#state = State.FILELESS;
  }

  get state() {
    return this.#state;
  }

  get isActive() {
    return this.#state === State.SENDING || this.#state === State.RETRYING;
  }

  get percent() {
    if (this.#state === State.DONE) return 100;
    return this.size === 0 ? 0 : Math.min(100, (this.sent / this.size) * 100);
  }

  /** Bytes per second over the last seconds; null while it is unknown. */
  get speed() {
    return this.#state === State.SENDING ? this.#meter.speed(this.sent) : null;
  }

  /** Seconds until the end; null while it is unknown. */
  get timeLeft() {
    const speed = this.speed;
    return speed ? (this.size - this.sent) / speed : null;
  }

  get secondsSpent() {
    return this.#meter.secondsSpent;
  }

  get sentByThisPage() {
    return this.#meter.bytesSent;
  }

  progress(bytes) {
    this.sent = bytes;
    this.#meter.add(bytes);
  }

  /** Sends until it is done, paused, cancelled, or in need of the person. */
  async start() {
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    let failures = 0;
    let furthest = this.sent;
    while (!signal.aborted) {
      this.#become(State.SENDING);
      this.#meter.start();
      try {
        await this.#attempt(signal);
        this.#meter.stop();
        if (signal.aborted) return;
        this.sent = this.size;
        this.#become(State.DONE);
        return;
      } catch (failure) {
        this.#meter.stop();
        if (signal.aborted) return;
        if (this.sent > furthest) failures = 0;
        furthest = Math.max(furthest, this.sent);
        failures += 1;
        const verdict = (await this.#lostFile(failure)) ?? explain(failure);
        if (signal.aborted) return;
        if (verdict.token) return this.#become(State.LOCKED, verdict.text);
        if (!verdict.again) return this.#become(State.FAILED, verdict.text);
        if (failures > MAX_FAILURES) {
          return this.#become(State.FAILED, `${verdict.text} Press Retry to go on.`);
        }
        await this.#rest(DELAYS[Math.min(failures, DELAYS.length) - 1], verdict.text);
      }
    }
  }

  pause() {
    this.#halt(State.PAUSED);
  }

  /** Back into the queue: after a pause, a failure, a new token or with the file chosen again. */
  requeue() {
    if (this.#state === State.RETRYING) this.#wake();
    else if (this.file !== null) this.#become(State.WAITING);
  }

  /** Take the file a reload has lost; says what is wrong when it is another one. */
  adopt(file) {
    const { name, lastModified } = this.stored.file;
    if (file.name !== name || file.size !== this.size) {
      return `That is another file. Choose “${name}” to go on.`;
    }
    if (file.lastModified !== lastModified) {
      return "This file has changed since. Cancel this upload and send it as a new one.";
    }
    this.file = file;
    this.#become(State.WAITING);
    return "";
  }

  /** Not sent, for a reason known before the first byte. */
  refuse(text) {
    this.#become(State.FAILED, text);
  }

  /** Waits for a token. */
  lock(text) {
    this.#become(State.LOCKED, text);
  }

  complain(text) {
    this.message = text;
    this.dispatchEvent(new Event("changed"));
  }

  /** Stop, and delete on the server what it has; rejects when the server could not be reached. */
  async cancel() {
    const { stored } = this;
    this.#halt(State.GONE);
    if (stored) await this.sender.terminate(stored);
  }

  #halt(state) {
    this.#stop.abort();
    this.#wake();
    this.#become(state);
  }

  #become(state, message = "") {
    this.#state = state;
    this.message = message;
    this.dispatchEvent(new Event("changed"));
  }

  /** A connection that went silent can look alive for many minutes, so it is given up here. */
  async #attempt(signal) {
    const lost = new AbortController();
    const giveUp = () => lost.abort(new NetworkFailure());
    const watch = setInterval(() => {
      const isWaitingForAnswer = this.sent >= this.size;
      if (!isWaitingForAnswer && this.#meter.secondsSilent > MAX_SILENCE) giveUp();
    }, 1000);
    addEventListener("offline", giveUp);
    try {
      await this.sender.send(this, AbortSignal.any([signal, lost.signal]));
    } finally {
      clearInterval(watch);
      removeEventListener("offline", giveUp);
    }
  }

  /** A file that was moved or changed looks like a network failure to XMLHttpRequest. */
  async #lostFile(failure) {
    if (!(failure instanceof NetworkFailure)) return null;
    try {
      await this.file.slice(0, 1).arrayBuffer();
      return null;
    } catch {
      return { text: "The file was moved or changed on this device. Cancel, and choose it again." };
    }
  }

  /** Wait, but not longer than until the network is back or the person presses the button. */
  #rest(milliseconds, text) {
    this.retryAt = performance.now() + milliseconds;
    this.#become(State.RETRYING, text);
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake(), milliseconds);
      const online = () => this.#wake();
      addEventListener("online", online);
      this.#wake = () => {
        clearTimeout(timer);
        removeEventListener("online", online);
        this.#wake = () => {};
        resolve();
      };
    });
  }
}

/** Speed from what was sent in the last seconds. */
class Meter {
  secondsSpent = 0;
  bytesSent = 0;
  #samples = [];
  #startedAt = 0;
  #lastAt = 0;

  get secondsSilent() {
    return (performance.now() - this.#lastAt) / 1000;
  }

  start() {
    this.#samples = [];
    this.#startedAt = performance.now();
    this.#lastAt = this.#startedAt;
  }

  add(bytes) {
    this.#lastAt = performance.now();
    const last = this.#samples.at(-1);
    if (last) this.bytesSent += Math.max(0, bytes - last.bytes);
    this.#samples.push({ at: performance.now(), bytes });
    while (this.#samples.length > 2 && this.#samples[0].at < performance.now() - 4000) {
      this.#samples.shift();
    }
  }

  stop() {
    this.secondsSpent += (performance.now() - this.#startedAt) / 1000;
  }

  speed(bytes) {
    const first = this.#samples[0];
    const seconds = first ? (performance.now() - first.at) / 1000 : 0;
    return seconds < 0.25 ? null : Math.max(0, (bytes - first.bytes) / seconds);
  }
}
