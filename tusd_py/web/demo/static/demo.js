// Puts the page together: token, queue of transfers, list of files.

import { Access } from "./access.js";
import { FilesView } from "./files_view.js";
import * as format from "./format.js";
import { RestUpload } from "./rest_upload.js";
import { Server } from "./server.js";
import { State, Transfer } from "./transfer.js";
import { TransferView } from "./transfer_view.js";
import { TusUpload } from "./tus_upload.js";
import { Unfinished } from "./unfinished.js";

const FILES_AT_ONCE = 3; // one when it takes four connections: browsers allow six to a server
const TICK = 250; // milliseconds between two looks at speeds and countdowns

const $ = (id) => document.getElementById(id);
const endpoint = new URL(document.documentElement.dataset.tusEndpoint, document.baseURI).href;

const access = new Access();
const server = new Server(access, endpoint);
const unfinished = new Unfinished(access);
const senders = { tus: new TusUpload(server, unfinished), rest: new RestUpload(server, unfinished) };
const files = new FilesView(server, announce);
const views = new Map(); // Transfer -> TransferView, the newest first on the page
let maxSize = null; // bytes; null without a limit
let toastTimer;

// ---- token -------------------------------------------------------------------------------

function showAccount() {
  const name = access.token ? `User ${access.owner || "unknown"}` : "No token";
  $("account-name").textContent = name;
  $("account").dataset.state = access.token ? "in" : "out";
  $("access-forget").hidden = !access.token;
  $("access-remember").checked = access.isRemembered;
}

function tellRefusal(reason) {
  $("access-why").textContent = `${reason} Paste a token below.`;
  $("access").classList.add("trouble");
  $("account").dataset.state = "out";
  $("account-name").textContent = "Token refused";
  setAccessOpen(true);
  $("access").scrollIntoView({ block: "nearest" });
}

function setAccessOpen(isOpen) {
  $("access").hidden = !isOpen;
  $("account").setAttribute("aria-expanded", String(isOpen));
}

$("account").addEventListener("click", () => {
  setAccessOpen($("access").hidden);
  if (!$("access").hidden) $("access-token").focus();
});

$("access-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = $("access-token").value.trim();
  if (!token) return $("access-token").focus();
  $("access-token").value = "";
  access.use(token, { remember: $("access-remember").checked });
});

$("access-forget").addEventListener("click", () => access.forget());

access.addEventListener("rejected", (event) => tellRefusal(event.detail));
access.addEventListener("changed", () => {
  for (const transfer of views.keys()) {
    if (transfer.state === State.FILELESS) drop(transfer);
  }
  greet();
  for (const transfer of views.keys()) {
    if (transfer.state === State.LOCKED && access.token) transfer.requeue();
  }
});

function greet() {
  showAccount();
  $("access").classList.remove("trouble");
  setAccessOpen(!access.token);
  files.refresh();
  if (access.token) findUnfinished();
}

// ---- queue -------------------------------------------------------------------------------

function add(file, sender, isParallel, before = $("transfers").firstChild) {
  const transfer = show(new Transfer({ file, sender, isParallel }), before);
  if (maxSize !== null && file.size > maxSize) {
    transfer.refuse(`The file is larger than the ${format.bytes(maxSize)} this server takes.`);
  }
  next();
}

/** New files, or those that an unfinished upload has waited for. */
function take(list) {
  const sender = senders[document.querySelector("input[name=way]:checked").value];
  const before = $("transfers").firstChild;
  for (const file of list) {
    const waiting = [...views.keys()].find(
      (transfer) => transfer.state === State.FILELESS && transfer.adopt(file) === "",
    );
    if (!waiting) add(file, sender, $("parallel").checked, before);
  }
}

function next() {
  const transfers = [...views.keys()];
  const active = transfers.filter((transfer) => transfer.isActive);
  const waiting = transfers.find((transfer) => transfer.state === State.WAITING);
  if (!waiting) return;
  if (!access.token) {
    setAccessOpen(true);
    waiting.lock("An access token is needed.");
    return;
  }
  const isWide = [...active, waiting].some((transfer) => transfer.isParallel);
  if (active.length >= (isWide ? 1 : FILES_AT_ONCE)) return;
  waiting.start();
  next();
}

function show(transfer, before = $("transfers").firstChild) {
  const view = new TransferView(transfer, {
    again: otherSender(transfer),
    onRequeue: () => transfer.requeue(),
    onCancel: () => cancel(transfer),
    onAgain: (_, sender) => add(transfer.file, sender, transfer.isParallel),
  });
  views.set(transfer, view);
  $("transfers").insertBefore(view.element, before);
  transfer.addEventListener("changed", () => changed(transfer));
  summarize();
  return transfer;
}

function otherSender(transfer) {
  const other = transfer.sender === senders.rest ? senders.tus : senders.rest;
  return other === senders.tus && !TusUpload.isAvailable ? null : other;
}

function changed(transfer) {
  if (transfer.state === State.DONE) {
    announce(`${transfer.name} is sent.`);
    files.refresh();
  }
  if (transfer.state === State.FAILED) announce(`${transfer.name}: ${transfer.message}`);
  summarize();
  // Not from inside the change: the transfer is still in the middle of it.
  queueMicrotask(next);
}

async function cancel(transfer) {
  const wasDone = transfer.state === State.DONE;
  drop(transfer);
  if (wasDone) return;
  const { stored } = transfer;
  try {
    await transfer.cancel();
    announce(`${transfer.name} was cancelled.`);
  } catch {
    const text = `${transfer.name} was cancelled here. The server removes its part later.`;
    announce(text, { isVisible: true });
  }
  if (stored) await unfinished.removeUpload(stored.urlStorageKey);
}

function drop(transfer) {
  const { element } = views.get(transfer);
  const neighbour = element.nextElementSibling ?? element.previousElementSibling;
  const hadFocus = element.contains(document.activeElement);
  element.remove();
  views.delete(transfer);
  if (hadFocus) (neighbour?.querySelector(".cancel") ?? $("choose")).focus();
  summarize();
}

/** After a reload: what this user has not finished, with what the server has of it. */
async function findUnfinished() {
  const { owner } = access;
  for (const stored of await unfinished.findAllUploads()) {
    const sender = senders[stored.way];
    const isShown = [...views.keys()].some(
      (transfer) => transfer.stored?.urlStorageKey === stored.urlStorageKey,
    );
    if (isShown || !sender || (stored.way === "tus" && !TusUpload.isAvailable)) continue;
    const transfer = show(new Transfer({ stored, sender }));
    try {
      const offset = await sender.offset(stored);
      if (owner !== access.owner) return;
      if (offset === null) {
        await unfinished.removeUpload(stored.urlStorageKey);
        if (transfer.state === State.FILELESS) drop(transfer);
      } else if (transfer.state === State.FILELESS) {
        transfer.sent = offset;
        views.get(transfer).render();
      }
    } catch {
      // Without an answer the row stays, without a percentage.
    }
  }
}

// ---- page --------------------------------------------------------------------------------

function summarize() {
  const transfers = [...views.keys()];
  const done = transfers.filter((transfer) => transfer.state === State.DONE);
  const busy = transfers.filter((transfer) => transfer.isActive);
  $("transfers-card").hidden = transfers.length === 0;
  $("clear").hidden = done.length === 0;
  const open = transfers.length - done.length;
  $("transfers-title").textContent = open === 0 ? "Sent" : "In progress";
  const size = busy.reduce((sum, transfer) => sum + transfer.size, 0);
  const sent = busy.reduce((sum, transfer) => sum + transfer.sent, 0);
  const title = "Uploads · tusd_py";
  document.title = size > 0 ? `${Math.floor((sent / size) * 100)} % · ${title}` : title;
}

/** Said to screen readers, and shown for some seconds when the page shows it nowhere else. */
function announce(text, { isVisible = false } = {}) {
  $("announce").textContent = text;
  $("announce").className = isVisible ? "toast" : "visually-hidden";
  clearTimeout(toastTimer);
  if (isVisible) toastTimer = setTimeout(() => announce(""), 5000);
}

setInterval(() => {
  const busy = [...views].filter(([transfer]) => transfer.isActive);
  for (const [, view] of busy) view.render();
  if (busy.length > 0) summarize();
}, TICK);

$("choose").addEventListener("click", (event) => {
  event.stopPropagation();
  $("picker").click();
});
$("drop").addEventListener("click", (event) => {
  if (event.target !== $("picker")) $("picker").click();
});
$("picker").addEventListener("change", () => {
  take([...$("picker").files]);
  $("picker").value = "";
});
$("clear").addEventListener("click", () => {
  for (const transfer of [...views.keys()]) {
    if (transfer.state === State.DONE) drop(transfer);
  }
  $("choose").focus();
});

// A file may be dropped anywhere; without this a near miss would leave the page for the file.
let depth = 0;
const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
addEventListener("dragenter", (event) => {
  if (!carriesFiles(event)) return;
  depth += 1;
  document.body.classList.add("dragging");
});
addEventListener("dragleave", (event) => {
  if (!carriesFiles(event)) return;
  depth -= 1;
  if (depth <= 0) document.body.classList.remove("dragging");
});
addEventListener("dragover", (event) => {
  if (carriesFiles(event)) event.preventDefault();
});
addEventListener("drop", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  depth = 0;
  document.body.classList.remove("dragging");
  take([...event.dataTransfer.files]);
});

if (!TusUpload.isAvailable) {
  $("no-tus").hidden = false;
  document.querySelector("input[value=tus]").disabled = true;
  document.querySelector("input[value=rest]").checked = true;
}
$("tus-address").textContent = endpoint;
$("rest-address").textContent = new URL("upload/", document.baseURI).href;

greet();
server
  .maxSize()
  .then((limit) => {
    maxSize = limit;
    if (limit !== null) $("limit").textContent = `Up to ${format.bytes(limit)} per file.`;
  })
  .catch(() => {}); // only a hint; the list says already that the server is away
