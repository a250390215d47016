// node run.mjs <scenario> <options as JSON>: prints what the scenario returned, as JSON.

import { withPage } from "./page.mjs";
import * as scenarios from "./scenarios.mjs";

const [name, options] = [process.argv[2], JSON.parse(process.argv[3])];
const scenario = scenarios[name];
const result = await withPage(options.url, (page) => scenario(page, options), {
  prepare: scenario.prepare,
});
console.log(JSON.stringify(result));
