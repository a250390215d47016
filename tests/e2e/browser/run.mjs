// node run.mjs: reads tasks, one a line, each a scenario and its options as JSON, and answers each
// with one line: what the scenario returned, as JSON, or why it failed.

import { createInterface } from "node:readline";
import { withPage } from "./page.mjs";
import * as scenarios from "./scenarios.mjs";

async function answer(line) {
  const { scenario: name, ...options } = JSON.parse(line);
  const scenario = scenarios[name];
  try {
    const { prepare } = scenario;
    return { returned: await withPage(options.url, (page) => scenario(page, options), { prepare }) };
  } catch (error) {
    return { failed: `${name}: ${error.stack}` };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(line)));
}
