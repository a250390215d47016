// The row of one transfer.

import * as format from "./format.js";
import { State } from "./transfer.js";

const ACTIONS = {
  [State.WAITING]: { label: "Pause", icon: "#i-pause" },
  [State.SENDING]: { label: "Pause", icon: "#i-pause" },
  [State.RETRYING]: { label: "Try now", icon: "#i-retry" },
  [State.PAUSED]: { label: "Resume", icon: "#i-play" },
  [State.FAILED]: { label: "Retry", icon: "#i-retry" },
  [State.FILELESS]: { label: "Choose file", icon: "#i-file" },
};

export class TransferView {
  /** `again` is the way to send the same file once more, or null when there is none. */
  constructor(transfer, { onRequeue, onCancel, onAgain, again }) {
    this.transfer = transfer;
    this.again = again;
    this.handlers = { onRequeue, onCancel, onAgain };
    this.element = document.getElementById("transfer-row").content.firstElementChild.cloneNode(true);
    this.action = this.#part(".main-action");
    this.picker = this.#part(".same-file");
    this.#part(".name").textContent = transfer.name;
    this.#part(".name").title = transfer.name;
    this.#part(".way").textContent = transfer.sender.label + (transfer.isParallel ? " × 4" : "");
    const badge = this.#part(".badge");
    badge.textContent = format.extension(transfer.name) || "FILE";
    badge.dataset.family = format.family(transfer.type, transfer.name);
    this.#part("progress").setAttribute("aria-label", `Progress of ${transfer.name}`);
    this.picker.setAttribute("aria-label", `${transfer.name}, the same file again`);
    this.action.addEventListener("click", () => this.#act());
    this.#part(".cancel").addEventListener("click", () => this.handlers.onCancel(transfer));
    this.picker.addEventListener("change", () => this.#adopt());
    transfer.addEventListener("changed", () => this.render());
    this.render();
  }

  render() {
    const { transfer } = this;
    const { state, name } = transfer;
    this.element.dataset.state = state;
    this.#part("progress").value = transfer.percent;
    this.#part("progress").hidden = state === State.DONE;
    this.#part(".detail").textContent = this.#detail();
    const message = this.#part(".message");
    message.textContent = this.#message();
    message.hidden = message.textContent === "";
    const action = ACTIONS[state] ?? (state === State.DONE ? this.#againAction() : null);
    this.action.hidden = !action;
    if (action) {
      this.#part(".main-action .label").textContent = action.label;
      this.#part(".main-action use").setAttribute("href", action.icon);
      this.action.setAttribute("aria-label", `${action.label}: ${name}`);
    }
    const close = state === State.DONE ? "Remove from this list" : "Cancel";
    this.#part(".cancel").title = close;
    this.#part(".cancel span").textContent = `${close}: ${name}`;
  }

  #againAction() {
    return this.again ? { label: `Again with ${this.again.label}`, icon: "#i-upload" } : null;
  }

  #detail() {
    const { transfer } = this;
    const total = format.bytes(transfer.size);
    const part = format.share(transfer.sent, transfer.size);
    switch (transfer.state) {
      case State.WAITING:
        return together([total, "waiting for its turn"]);
      case State.SENDING: {
        if (transfer.size > 0 && transfer.sent >= transfer.size) return together([total, "finishing"]);
        const pieces = [part];
        if (transfer.speed) pieces.push(format.speed(transfer.speed));
        if (transfer.timeLeft !== null) pieces.push(`${format.duration(Math.max(1, transfer.timeLeft))} left`);
        return together(pieces);
      }
      case State.PAUSED:
        return together([part, "paused"]);
      case State.DONE: {
        const seconds = transfer.secondsSpent;
        const pieces = [total, `sent in ${format.duration(seconds)}`];
        if (seconds >= 0.5) pieces.push(format.speed(transfer.sentByThisPage / seconds));
        return together(pieces);
      }
      default:
        return part;
    }
  }

  #message() {
    const { transfer } = this;
    switch (transfer.state) {
      case State.RETRYING: {
        const seconds = Math.ceil((transfer.retryAt - performance.now()) / 1000);
        return `${transfer.message} ${seconds > 0 ? `Trying again in ${seconds} s.` : "Trying again."}`;
      }
      case State.LOCKED:
        return `${transfer.message} It goes on when you paste one above.`;
      case State.FILELESS:
        return transfer.message || "Choose the same file to resume, or drop it above.";
      default:
        return transfer.message;
    }
  }

  #act() {
    const { transfer } = this;
    switch (transfer.state) {
      case State.WAITING:
      case State.SENDING:
        return transfer.pause();
      case State.FILELESS:
        return this.picker.click();
      case State.DONE:
        return this.handlers.onAgain(transfer, this.again);
      default:
        return this.handlers.onRequeue(transfer);
    }
  }

  #adopt() {
    const [file] = this.picker.files;
    this.picker.value = "";
    if (!file) return;
    const trouble = this.transfer.adopt(file);
    if (trouble) this.transfer.complain(trouble);
  }

  #part(selector) {
    return this.element.querySelector(selector);
  }
}

/** Pieces with dots between them; a line breaks at a dot only. */
function together(pieces) {
  return pieces.map((piece) => piece.replaceAll(" ", "\u00a0")).join(" · ");
}
