// What the tests do with the demo page. Each returns what the page showed.

import { basename } from "node:path";
import { finished, percentOf, reached, seenStates, send, throttle, transfer } from "./page.mjs";

const SLOW = 40_000_000; // bytes per second: slow enough to meet an upload half way

/** Send files and wait until all of them are sent and listed. */
export async function upload(page, { files, way, parallel }) {
  const concat = [];
  page.on("request", (request) => {
    if (request.method() === "POST") concat.push(request.headers()["upload-concat"]);
  });
  if (way === "rest") await page.getByText("REST chunks", { exact: true }).click();
  if (parallel) await page.getByLabel("Four connections per file").check();
  await send(page, ...files);
  for (const file of files) {
    await transfer(page, basename(file), "done").waitFor();
    await finished(page, basename(file)).first().waitFor();
  }
  return {
    address: page.url(),
    listed: await page.locator("#files .name").allTextContents(),
    concat: concat.filter(Boolean).map((value) => value.split(";")[0]),
    states: await seenStates(page),
  };
}

/** Pause half way, resume. */
export async function pause(page, { file }) {
  const name = basename(file);
  await throttle(page, SLOW);
  await send(page, file);
  await reached(transfer(page, name), 20);
  await page.getByRole("button", { name: `Pause: ${name}` }).click();
  const paused = transfer(page, name, "paused");
  await paused.waitFor();
  const percent = await percentOf(paused);
  await throttle(page, 0);
  await page.getByRole("button", { name: `Resume: ${name}` }).click();
  await transfer(page, name, "done").waitFor();
  return { percent, states: await seenStates(page) };
}

/** Reload half way, offer another file, then the same one. */
export async function reload(page, { file, other, way }) {
  const name = basename(file);
  if (way === "rest") await page.getByText("REST chunks", { exact: true }).click();
  await throttle(page, SLOW);
  await send(page, file);
  await reached(transfer(page, name), 30);
  await page.reload();
  const row = transfer(page, name, "fileless");
  await reached(row, 5);
  const percent = await percentOf(row);
  const question = await row.locator(".message").textContent();
  await row.locator("input[type=file]").setInputFiles(other);
  await row.getByText("That is another file").waitFor();
  await throttle(page, 0);
  await row.locator("input[type=file]").setInputFiles(file);
  await transfer(page, name, "done").waitFor();
  const left = await page.evaluate(() => Object.keys(localStorage));
  return { percent, question, left };
}

/** Send over a network that breaks; the page finds its way alone. */
export async function endure(page, { file, way, parallel }) {
  const name = basename(file);
  const beginnings = [];
  const offsets = [];
  page.on("request", (request) => {
    const { pathname } = new URL(request.url());
    if (request.method() === "PATCH") offsets.push(Number(request.headers()["upload-offset"]));
    else if (pathname === "/files/" || pathname === "/upload/init") beginnings.push(pathname);
  });
  if (way === "rest") await page.getByText("REST chunks", { exact: true }).click();
  if (parallel) await page.getByLabel("Four connections per file").check();
  await send(page, file);
  await transfer(page, name, "done").waitFor({ timeout: 60_000 });
  return { beginnings: beginnings.length, offsets, states: await seenStates(page) };
}

/** Take the network away half way, and give it back. */
export async function offline(page, { file }) {
  const name = basename(file);
  await throttle(page, SLOW);
  await send(page, file);
  await reached(transfer(page, name), 20);
  await page.context().setOffline(true);
  const row = transfer(page, name, "retrying");
  await row.waitFor();
  const message = await row.locator(".message").textContent();
  await page.context().setOffline(false);
  await throttle(page, 0);
  await transfer(page, name, "done").waitFor();
  return { message };
}

/** tus-js-client with a stream whose length it learns at the end. */
export async function deferred(page, { file, endpoint, token }) {
  const input = await page.evaluateHandle(() => {
    return Object.assign(document.createElement("input"), { type: "file" });
  });
  await input.setInputFiles(file);
  return input.evaluate(
    (input, { endpoint, token }) => {
      const [file] = input.files;
      return new Promise((resolve, reject) => {
        const upload = new tus.Upload(file.stream().getReader(), {
          endpoint,
          uploadLengthDeferred: true,
          chunkSize: 1024 * 1024,
          headers: { Authorization: `Bearer ${token}` },
          metadata: { filename: file.name },
          onError: reject,
          onSuccess: () => resolve({ url: upload.url }),
        });
        upload.start();
      });
    },
    { endpoint, token },
  );
}

/** Try with a token the server refuses, then paste a good one. */
export async function denied(page, { file, token }) {
  const name = basename(file);
  await page.locator("#access.trouble").waitFor();
  const reason = await page.locator("#access-why").textContent();
  const account = await page.locator("#account").innerText();
  await send(page, file);
  const locked = transfer(page, name, "locked");
  await locked.waitFor();
  const message = await locked.locator(".message").textContent();
  await page.getByRole("textbox", { name: "Access token" }).fill(token);
  await page.getByRole("button", { name: "Use this token" }).click();
  await transfer(page, name, "done").waitFor();
  await page.locator("#access").waitFor({ state: "hidden" });
  return { reason, account, message };
}

/** The token turns bad half way; pause and resume meet that; a good one is pasted. */
export async function expire(page, { file, token }) {
  const name = basename(file);
  const creations = [];
  page.on("request", (request) => {
    if (request.method() === "POST") creations.push(request.url());
  });
  await throttle(page, SLOW);
  await send(page, file);
  await reached(transfer(page, name), 20);
  await page.evaluate(() => {
    location.hash = "token=eyJhbGciOiJSUzI1NiJ9.eyJ1c2VyX2lkIjoiNDIifQ.AAAA";
  });
  await page.locator("#access.trouble").waitFor();
  await page.getByRole("button", { name: `Pause: ${name}` }).click();
  await page.getByRole("button", { name: `Resume: ${name}` }).click();
  await transfer(page, name, "locked").waitFor();
  await throttle(page, 0);
  await page.getByRole("textbox", { name: "Access token" }).fill(token);
  await page.getByRole("button", { name: "Use this token" }).click();
  await transfer(page, name, "done").waitFor();
  return { creations: creations.length };
}

/** Come without a token, paste one, come back. */
export async function remember(page, { token }) {
  const field = page.getByRole("textbox", { name: "Access token" });
  await field.waitFor();
  await page.getByLabel("Remember it on this device").check();
  await field.fill(`Bearer ${token}`);
  await page.getByRole("button", { name: "Use this token" }).click();
  await page.getByText("No files yet").waitFor();
  await field.waitFor({ state: "hidden" });
  const next = await page.context().newPage();
  await next.goto(page.url());
  await next.getByText("User 42", { exact: true }).waitFor();
  return { account: await next.locator("#account").innerText() };
}

/** The same file a second time through the other face. */
export async function again(page, { file }) {
  const name = basename(file);
  await send(page, file);
  await transfer(page, name, "done").waitFor();
  await page.getByRole("button", { name: `Again with REST: ${name}` }).click();
  await finished(page, name).nth(1).waitFor();
  return { ways: await transfer(page, name, "done").locator(".way").allTextContents() };
}

/** Send, download what the list offers, delete it. */
export async function fetchAndDelete(page, { file, target }) {
  const name = basename(file);
  await send(page, file);
  const row = finished(page, name);
  await row.waitFor();
  const download = page.waitForEvent("download");
  await row.getByRole("button", { name: `Download: ${name}` }).click();
  const saved = await download;
  await saved.saveAs(target);
  await row.getByRole("button", { name: `Delete: ${name}` }).click();
  await page.getByRole("button", { name: "Keep it" }).click();
  const kept = await row.count();
  await row.getByRole("button", { name: `Delete: ${name}` }).click();
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByText("No files yet").waitFor();
  return { name: saved.suggestedFilename(), kept };
}

/** Cancel half way. */
export async function cancel(page, { file, way }) {
  const name = basename(file);
  if (way === "rest") await page.getByText("REST chunks", { exact: true }).click();
  await throttle(page, SLOW);
  await send(page, file);
  await reached(transfer(page, name), 20);
  const ended = page.waitForResponse((response) => response.request().method() === "DELETE");
  await page.getByRole("button", { name: `Cancel: ${name}` }).click();
  const status = (await ended).status();
  await page.getByText(`${name} was cancelled.`).waitFor({ state: "attached" });
  const left = await page.evaluate(() => Object.keys(localStorage));
  return { status, rows: await transfer(page, name).count(), left };
}

/** The page when tus-js-client was not installed. */
export async function withoutTus(page, { file }) {
  const notice = await page.locator("#no-tus").textContent();
  await send(page, file);
  const row = transfer(page, basename(file), "done");
  await row.waitFor();
  return { notice, way: await row.locator(".way").textContent() };
}
withoutTus.prepare = (page) => page.route("**/tus.min.js", (route) => route.abort());

/** Everything by keyboard: where the focus goes from the top of the page. */
export async function keyboard(page, { file }) {
  await send(page, file);
  await finished(page, basename(file)).waitFor();
  await page.locator("body").click({ position: { x: 2, y: 2 } });
  const names = [];
  for (let presses = 0; presses < 12; presses += 1) {
    await page.keyboard.press("Tab");
    names.push(
      await page.evaluate(() => {
        const { activeElement: element } = document;
        if (element === document.body) return "";
        return (element.ariaLabel || element.labels?.[0]?.innerText || element.innerText).trim();
      }),
    );
  }
  return { names };
}
