// Sends a transfer with tus-js-client: one resumable upload, or four that are put together.

import { HttpFailure, NetworkFailure } from "./server.js";

const PARALLEL_FROM = 8_000_000; // bytes; below that four connections only cost time

export class TusUpload {
  way = "tus";
  label = "tus";

  static get isAvailable() {
    return globalThis.tus?.isSupported === true;
  }

  constructor(server, unfinished) {
    this.server = server;
    this.unfinished = unfinished;
  }

  /** Starts or goes on; resolves when the server has everything. */
  async send(transfer, signal) {
    const { file } = transfer;
    let upload;
    const sent = new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      upload = new tus.Upload(file, {
        endpoint: this.server.tusEndpoint,
        retryDelays: null, // Transfer decides when to try again, for both ways to send
        headers: this.server.access.headers,
        metadata: { filename: file.name, filetype: file.type || "application/octet-stream" },
        parallelUploads: transfer.isParallel && file.size >= PARALLEL_FROM ? 4 : 1,
        urlStorage: this.#storageOf(transfer),
        fingerprint: async () => this.unfinished.fingerprint(file, this.way),
        removeFingerprintOnSuccess: true,
        onBeforeRequest: () => signal.throwIfAborted(),
        onAfterResponse: (request, response) => this.#check(request, response),
        onProgress: (bytes) => transfer.progress(bytes),
        onSuccess: resolve,
        onError: (error) => reject(cause(error)),
      });
      if (transfer.stored) upload.resumeFromPreviousUpload(transfer.stored);
      upload.start();
    });
    try {
      await sent;
    } catch (error) {
      upload.abort();
      throw error;
    }
  }

  /** Ends an unfinished upload on the server. */
  async terminate(stored) {
    const urls = stored.parallelUploadUrls ?? [stored.uploadUrl];
    const { headers } = this.server.access;
    await Promise.all(urls.filter(Boolean).map((url) => tus.Upload.terminate(url, { headers })));
  }

  /** Bytes the server has; null when it does not know the upload any more. */
  async offset(stored) {
    const urls = stored.parallelUploadUrls ?? [stored.uploadUrl];
    const offsets = await Promise.all(urls.filter(Boolean).map((url) => this.server.offset(url)));
    if (offsets.every((offset) => offset === null)) return null;
    return offsets.reduce((sum, offset) => sum + (offset ?? 0), 0);
  }

  /**
   * tus-js-client forgets an upload when HEAD answers 401 or 503; that is right only when the
   * upload is gone.
   */
  #check(request, response) {
    const status = response.getStatus();
    if (status >= 200 && status < 300) return;
    if (request.getMethod() === "HEAD" && (status === 404 || status === 410)) return;
    this.server.refuse(status, response.getBody());
  }

  #storageOf(transfer) {
    const { file } = transfer;
    const about = { name: file.name, type: file.type, lastModified: file.lastModified };
    return {
      findUploadsByFingerprint: (fingerprint) =>
        this.unfinished.findUploadsByFingerprint(fingerprint),
      addUpload: async (fingerprint, upload) => {
        const stored = { ...upload, way: this.way, file: about };
        const urlStorageKey = await this.unfinished.addUpload(fingerprint, stored);
        transfer.stored = { ...stored, urlStorageKey };
        return urlStorageKey;
      },
      removeUpload: async (urlStorageKey) => {
        transfer.stored = null;
        await this.unfinished.removeUpload(urlStorageKey);
      },
    };
  }
}

function cause(error) {
  const first = error.causingError ?? error;
  if (first instanceof HttpFailure || first instanceof DOMException) return first;
  return first instanceof ProgressEvent ? new NetworkFailure() : error;
}
