// node docs.mjs <options as JSON>: what a person sees and does on the page /docs, printed as JSON.

import { withPage } from "./page.mjs";

const { url, token, requests } = JSON.parse(process.argv[2]);
const asked = [];

/** The requests that the page shows, each with a section of its own. */
async function shown(page) {
  const found = [];
  for (const name of requests) {
    await page.getByRole("link", { name }).first().click();
    await page.getByRole("heading", { name, exact: true }).first().waitFor();
    found.push(name);
  }
  return found;
}

/** Sends the request whose section is shown, as it stands there. */
async function send(page, label, path) {
  await page.getByRole("button", { name: label }).first().click();
  const answer = page.waitForResponse((response) => response.url().endsWith(path));
  await page.getByRole("button", { name: /^Send/ }).first().click();
  const response = await answer;
  const seen = { status: response.status(), answer: await response.json() };
  await page.getByText(/^\s*200\b/).first().waitFor();
  await page.keyboard.press("Escape");
  return seen;
}

const result = await withPage(
  url,
  async (page) => {
    await page.getByRole("heading", { level: 1 }).first().waitFor();
    await page.getByPlaceholder("Token").first().fill(token);
    const names = await shown(page);
    await page.getByRole("link", { name: "Open a session" }).first().click();
    const opened = await send(page, /Test Request.*upload\/init/, "/upload/init");
    const stored = await page.evaluate(() => JSON.stringify(localStorage));
    return { shown: names, opened, keepsToken: stored.includes(token) };
  },
  { prepare: (page) => page.on("request", (request) => asked.push(request.url())) },
);
console.log(JSON.stringify({ ...result, asked }));
