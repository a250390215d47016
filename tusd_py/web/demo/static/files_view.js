// The list of finished files: download and delete.

import * as format from "./format.js";
import { explain, HttpFailure } from "./server.js";

export class FilesView {
  #rows = document.getElementById("files");
  #empty = document.getElementById("files-empty");
  #total = document.getElementById("files-total");
  #trouble = document.getElementById("files-trouble");
  #latest = 0;

  constructor(server, announce) {
    this.server = server;
    this.announce = announce;
    document.getElementById("refresh").addEventListener("click", () => this.refresh());
    addEventListener("focus", () => this.refresh());
  }

  async refresh() {
    if (!this.server.access.token) return this.#show([]);
    this.#latest += 1;
    const mine = this.#latest;
    try {
      const answer = await this.server.call("GET", "upload/files");
      if (mine === this.#latest) this.#show(answer.uploads);
    } catch (failure) {
      if (mine !== this.#latest) return;
      const { text, again, token } = explain(failure);
      if (token) this.#show([]);
      if (token) this.#trouble.textContent = "Paste a valid token to see your files.";
      else this.#trouble.textContent = again ? `${text} Press refresh to see the list.` : text;
      this.#trouble.hidden = false;
      this.#empty.hidden = true;
    }
  }

  #show(uploads) {
    this.#trouble.hidden = true;
    const sorted = [...uploads].sort((a, b) => b.completed_at.localeCompare(a.completed_at));
    const known = new Map([...this.#rows.children].map((row) => [row.dataset.id, row]));
    const rows = sorted.map((upload) => known.get(upload.upload_session_id) ?? this.#row(upload));
    // A row that stays keeps its focus and its running download.
    for (const row of [...this.#rows.children]) if (!rows.includes(row)) row.remove();
    rows.forEach((row, index) => {
      const present = this.#rows.children[index];
      if (present !== row) this.#rows.insertBefore(row, present ?? null);
      const time = row.querySelector("time");
      time.textContent = format.ago(new Date(time.dateTime));
    });
    this.#empty.hidden = sorted.length > 0;
    const size = sorted.reduce((sum, upload) => sum + upload.size, 0);
    this.#total.textContent =
      sorted.length === 0 ? "" : `${sorted.length} ${sorted.length === 1 ? "file" : "files"} · ${format.bytes(size)}`;
  }

  #row(upload) {
    const row = document.getElementById("file-row").content.firstElementChild.cloneNode(true);
    const name = upload.file_name;
    row.dataset.id = upload.upload_session_id;
    row.querySelector(".name").textContent = name;
    row.querySelector(".name").title = upload.path;
    row.querySelector(".detail").textContent = format.bytes(upload.size);
    const badge = row.querySelector(".badge");
    badge.textContent = format.extension(name) || "FILE";
    badge.dataset.family = format.family(upload.content_type, name);
    const time = row.querySelector("time");
    time.dateTime = upload.completed_at;
    time.title = new Date(upload.completed_at).toLocaleString("en");
    for (const [action, run] of [
      ["download", () => this.#download(row, upload)],
      ["delete", () => this.#delete(row, upload)],
    ]) {
      const button = row.querySelector(`.${action}`);
      const label = action === "download" ? "Download" : "Delete";
      button.title = label;
      button.querySelector("span").textContent = `${label}: ${name}`;
      button.addEventListener("click", run);
    }
    return row;
  }

  async #download(row, upload) {
    const button = row.querySelector(".download");
    const bar = row.querySelector("progress");
    button.disabled = true;
    bar.hidden = false;
    bar.setAttribute("aria-label", `Download of ${upload.file_name}`);
    this.#complain(row, "");
    try {
      const blob = await this.server.download(upload.upload_session_id, {
        onProgress: (received) => {
          bar.value = (received / upload.size) * 100;
        },
      });
      save(blob, upload.file_name);
    } catch (failure) {
      this.#complain(row, this.#words(failure, "Press Download to try again."));
    } finally {
      button.disabled = false;
      bar.hidden = true;
    }
  }

  async #delete(row, upload) {
    const text = `“${upload.file_name}” (${format.bytes(upload.size)}) is removed from the server for good.`;
    if (!(await confirmed(text))) return;
    this.#complain(row, "");
    try {
      await this.server.call("DELETE", "upload/file", {
        upload_session_id: upload.upload_session_id,
      });
      this.announce(`${upload.file_name} was deleted.`, { isVisible: true });
    } catch (failure) {
      if (!isGone(failure)) {
        return this.#complain(row, this.#words(failure, "Press Delete to try again."));
      }
    }
    await this.refresh();
    document.getElementById("refresh").focus();
  }

  #words(failure, next) {
    if (isGone(failure)) return "The server no longer has this file. Refresh the list.";
    const { text, again } = explain(failure);
    return again ? `${text} ${next}` : text;
  }

  #complain(row, text) {
    const message = row.querySelector(".message");
    message.textContent = text;
    message.hidden = text === "";
  }
}

function isGone(failure) {
  return failure instanceof HttpFailure && (failure.status === 404 || failure.status === 410);
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function confirmed(text) {
  const dialog = document.getElementById("confirm");
  const yes = document.getElementById("confirm-yes");
  const no = document.getElementById("confirm-no");
  document.getElementById("confirm-text").textContent = text;
  dialog.returnValue = "";
  yes.onclick = () => dialog.close("yes");
  no.onclick = () => dialog.close("");
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
  });
}
