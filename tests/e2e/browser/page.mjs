// Chromium with the demo page in it, and what a person does there.

import { chromium } from "playwright-core";

const FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** The browser that runs at CHROMIUM_AT, or a new one. */
function browser() {
  const address = process.env.CHROMIUM_AT;
  if (address) return chromium.connectOverCDP(address, { isLocal: true });
  const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: FLAGS });
}

/**
 * Runs `visit` with a page open at `url`. The page's own mistakes (an exception nobody caught,
 * something its Content-Security-Policy forbids) are failures, whatever the visit returns.
 */
export async function withPage(url, visit, { prepare = () => {}, ...options } = {}) {
  const opened = await browser();
  const context = await opened.newContext(options);
  try {
    const page = await context.newPage();
    const mistakes = [];
    page.on("pageerror", (error) => mistakes.push(error.stack));
    page.on("console", (line) => {
      if (line.text().includes("Content Security Policy")) mistakes.push(line.text());
    });
    await prepare(page);
    await page.goto(url);
    const result = await visit(page);
    if (mistakes.length > 0) throw new Error(mistakes.join("\n"));
    return result;
  } finally {
    await context.close();
    await opened.close();
  }
}

/** Chooses files, and from then on keeps the states that the transfers go through. */
export async function send(page, ...files) {
  await page.evaluate(() => {
    if (window.seenStates) return;
    window.seenStates = [];
    const rows = document.getElementById("transfers");
    const note = (records) => {
      for (const { target } of records) {
        if (target.dataset?.state) window.seenStates.push(target.dataset.state);
      }
    };
    new MutationObserver(note).observe(rows, { attributeFilter: ["data-state"], subtree: true });
  });
  await page.getByLabel("Files to upload").setInputFiles(files);
}

export function seenStates(page) {
  return page.evaluate(() => [...new Set(window.seenStates)]);
}

/** The row of a transfer, of those with this name the one in this state. */
export function transfer(page, name, state) {
  const rows = page.locator(state ? `#transfers > [data-state="${state}"]` : "#transfers > li");
  return rows.filter({ has: page.getByText(name, { exact: true }) });
}

/** The row of a finished file. */
export function finished(page, name) {
  return page.locator("#files > li").filter({ has: page.getByText(name, { exact: true }) });
}

export function percentOf(row) {
  return row.getByRole("progressbar").evaluate((bar) => bar.value);
}

/** Waits until the bar shows at least so much. */
export async function reached(row, percent) {
  const bar = await row.getByRole("progressbar").elementHandle();
  await row.page().waitForFunction(([bar, percent]) => bar.value >= percent, [bar, percent]);
}

/** Limits what the page can send, in bytes per second; 0 lifts the limit. */
export async function throttle(page, bytesPerSecond) {
  page.throttle ??= await page.context().newCDPSession(page);
  await page.throttle.send("Network.enable");
  await page.throttle.send("Network.emulateNetworkConditions", {
    offline: false,
    latency: 0,
    downloadThroughput: -1,
    uploadThroughput: bytesPerSecond || -1,
  });
}
