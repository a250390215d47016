// node screenshot.mjs <address of the page, with #token=…> <folder>: pictures of the page as it
// is with files, in the middle of uploads, without a network, and without a token; at desktop and
// phone width, light and dark. The files are sparse ones of its own, in a folder it removes.

import { mkdtempSync, mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { finished, reached, send, throttle, transfer, withPage } from "./page.mjs";

const [address, folder] = process.argv.slice(2);
const DEVICES = {
  desktop: { viewport: { width: 1280, height: 800 } },
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
};
const HOUR = 3_600_000; // milliseconds
const OLD = {
  "backup-2026-11-21.tar.zst": { size: 912_480_113, age: 61 * HOUR },
  "drone_0147.jpg": { size: 12_480_232, age: 27 * HOUR },
  "Interview mit Frau Müller.m4a": { size: 84_233_901, age: 3 * HOUR },
  "field-notes.pdf": { size: 3_204_118, age: HOUR },
  "Keynote recording.mp4": { size: 482_300_113, age: HOUR / 30 },
};
const NEW = {
  "Aerial survey.mov": 164_208_331,
  "podcast-episode-12.mp3": 61_420_110,
  "sensor-log.csv": 203_114,
};

const work = mkdtempSync(join(tmpdir(), "screenshot-"));
mkdirSync(folder, { recursive: true });

function sparse(name, size) {
  const path = join(work, name);
  writeFileSync(path, "");
  truncateSync(path, size);
  return path;
}

/** A picture of the window; of the whole page on the phone. */
function shoot(page, scene, device, colorScheme) {
  const path = join(folder, `${scene}-${device}-${colorScheme}.png`);
  return page.screenshot({ path, fullPage: device === "phone" });
}

/**
 * The files were sent a moment ago; the list shall look as if over some days. (In the page, as
 * Playwright's routes would carry the uploads' bytes through the driver.)
 */
function age(page) {
  return page.addInitScript((old) => {
    const { fetch } = window;
    window.fetch = async (url, options) => {
      const response = await fetch(url, options);
      if (url !== "upload/files" || !response.ok) return response;
      const answer = await response.json();
      for (const upload of answer.uploads) {
        const { age } = old[upload.file_name] ?? { age: 0 };
        if (age) upload.completed_at = new Date(Date.now() - age).toISOString();
      }
      return Response.json(answer);
    };
  }, OLD);
}

async function seed(page) {
  for (const [name, { size }] of Object.entries(OLD)) {
    await send(page, sparse(name, size));
    await finished(page, name).first().waitFor();
  }
}

async function pictures(page, device, colorScheme) {
  await finished(page, "field-notes.pdf").first().waitFor();
  await shoot(page, "files", device, colorScheme);
  await throttle(page, 16_000_000);
  await send(page, ...Object.entries(NEW).map(([name, size]) => sparse(name, size)));
  await transfer(page, "sensor-log.csv", "done").waitFor();
  await finished(page, "sensor-log.csv").first().waitFor();
  await reached(transfer(page, "podcast-episode-12.mp3"), 42);
  await page.getByRole("button", { name: "Pause: podcast-episode-12.mp3" }).click();
  await reached(transfer(page, "Aerial survey.mov"), 40);
  await page.mouse.move(0, 0);
  await page.evaluate(() => scrollTo(0, 0));
  await shoot(page, "busy", device, colorScheme);
  await page.context().setOffline(true);
  await transfer(page, "Aerial survey.mov", "retrying").waitFor();
  await shoot(page, "offline", device, colorScheme);
  await page.context().setOffline(false);
  for (const name of Object.keys(NEW)) {
    await transfer(page, name).locator(".cancel").click();
  }
  await finished(page, "sensor-log.csv").locator(".delete").click();
  await shoot(page, "question", device, colorScheme);
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await finished(page, "sensor-log.csv").waitFor({ state: "detached" });
  await page.evaluate(() => {
    location.hash = "token=eyJhbGciOiJSUzI1NiJ9.eyJ1c2VyX2lkIjoiNDIifQ.AAAA";
  });
  await page.locator("#access.trouble").waitFor();
  await shoot(page, "refused", device, colorScheme);
}

try {
  await withPage(address, seed);
  for (const [device, settings] of Object.entries(DEVICES)) {
    for (const colorScheme of ["light", "dark"]) {
      const context = { ...settings, colorScheme, reducedMotion: "reduce" };
      await withPage(address.split("#")[0], (page) => shoot(page, "start", device, colorScheme), context);
      await withPage(address, (page) => pictures(page, device, colorScheme), { ...context, prepare: age });
    }
  }
} finally {
  rmSync(work, { recursive: true });
}
