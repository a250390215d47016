// node upload.mjs <options as JSON>: one upload with tus-js-client, told as JSON.
//
// endpoint, token, file; `source`: "file", "buffer" or "stream"; `options`: for tus-js-client;
// `urls`: a file that keeps the address of an unfinished upload; `stopAt`: bytes after which it
// stops; `terminate`: end it on the server then.

import { createReadStream, readFileSync } from "node:fs";
import { PassThrough } from "node:stream";
import * as tus from "tus-js-client";

const task = JSON.parse(process.argv[2]);
const sources = {
  file: () => createReadStream(task.file),
  buffer: () => readFileSync(task.file),
  stream: () => createReadStream(task.file).pipe(new PassThrough()),
};
const told = { requests: [] };

await new Promise((resolve, reject) => {
  const upload = new tus.Upload(sources[task.source ?? "file"](), {
    endpoint: task.endpoint,
    headers: { Authorization: `Bearer ${task.token}` },
    retryDelays: [0, 100, 500, 1000],
    ...(task.urls ? { urlStorage: new tus.FileUrlStorage(task.urls) } : {}),
    ...task.options,
    onAfterResponse: (request, response) => {
      told.requests.push({
        method: request.getMethod(),
        override: request.getHeader("X-HTTP-Method-Override") ?? null,
        concat: request.getHeader("Upload-Concat")?.split(";")[0] ?? null,
        offset: request.getHeader("Upload-Offset") ?? null,
        length: request.getHeader("Upload-Length") ?? null,
        status: response.getStatus(),
      });
    },
    onChunkComplete: async (_, accepted) => {
      if (!task.stopAt || accepted < task.stopAt) return;
      await upload.abort(task.terminate === true);
      resolve();
    },
    onSuccess: resolve,
    onError: (error) => {
      told.error = { status: error.originalResponse?.getStatus() ?? null };
      error.originalRequest ? resolve() : reject(error);
    },
  });
  upload.findPreviousUploads().then((previous) => {
    if (previous.length > 0) upload.resumeFromPreviousUpload(previous[0]);
    told.previous = previous.length;
    upload.start();
  }, reject);
  told.url = () => upload.url;
});
console.log(JSON.stringify({ ...told, url: told.url() }));
process.exit(0); // an aborted source may still hold its file open
