// Sends a transfer through the REST chunks: init, chunks (in order, or four at a time), complete.

import { HttpFailure } from "./server.js";

const CHUNK_SIZE = 8 * 1024 * 1024; // bytes

export class RestUpload {
  way = "rest";
  label = "REST";

  constructor(server, unfinished) {
    this.server = server;
    this.unfinished = unfinished;
  }

  /** Starts or goes on; resolves when the server has put the file together. */
  async send(transfer, signal) {
    const have = await this.#chunksWithoutGap(transfer);
    const stored = transfer.stored ?? (await this.#begin(transfer, signal));
    const total = chunkCount(transfer.file, stored);
    const wanted = Array.from({ length: total - have }, (_, index) => have + index);
    let missing = await this.#sendChunks(transfer, stored, wanted, signal);
    while (missing.length > 0) {
      missing = await this.#sendChunks(transfer, stored, missing, signal);
    }
    await this.#forget(transfer);
  }

  async terminate(stored) {
    const body = { upload_session_id: stored.sessionId };
    await this.server.call("DELETE", "upload/file", body).catch((failure) => {
      if (!isGone(failure)) throw failure;
    });
  }

  /** Bytes the server has; null when it does not know the upload any more. */
  async offset(stored) {
    return this.server.offset(this.server.uploadUrl(stored.sessionId));
  }

  async #begin(transfer, signal) {
    const { file } = transfer;
    const fileId = Date.now() * 1000 + Math.floor(Math.random() * 1000);
    const answer = await this.server.call(
      "POST",
      "upload/init",
      { main_service_file_id: fileId, original_file_name: file.name },
      { signal },
    );
    const stored = {
      way: this.way,
      size: file.size,
      file: { name: file.name, type: file.type, lastModified: file.lastModified },
      sessionId: answer.data.upload_session_id,
      fileId,
      chunkSize: CHUNK_SIZE,
    };
    const fingerprint = this.unfinished.fingerprint(file, this.way);
    const urlStorageKey = await this.unfinished.addUpload(fingerprint, stored);
    transfer.stored = { ...stored, urlStorageKey };
    return transfer.stored;
  }

  /** How many chunks the server has from the first one on; an upload it has lost starts over. */
  async #chunksWithoutGap(transfer) {
    const { file, stored } = transfer;
    if (!stored) return 0;
    const offset = await this.offset(stored);
    if (offset === null) {
      await this.#forget(transfer);
      return 0;
    }
    const isWhole = file.size > 0 && offset >= file.size;
    return isWhole ? chunkCount(file, stored) : Math.floor(offset / stored.chunkSize);
  }

  async #forget(transfer) {
    if (transfer.stored) await this.unfinished.removeUpload(transfer.stored.urlStorageKey);
    transfer.stored = null;
  }

  /** Sends the chunks named and completes; returns the chunks the server still misses. */
  async #sendChunks(transfer, stored, indexes, signal) {
    const { file } = transfer;
    const { chunkSize } = stored;
    const sizeOf = (index) => Math.min(chunkSize, file.size - index * chunkSize);
    const queue = [...indexes];
    const underWay = new Map();
    let finished = file.size - indexes.reduce((sum, index) => sum + sizeOf(index), 0);
    const report = () => {
      const parts = [...underWay.values()];
      transfer.progress(parts.reduce((sum, part) => sum + part, finished));
    };
    report();
    const sendNext = async () => {
      while (queue.length > 0) {
        const index = queue.shift();
        const form = new FormData();
        form.append("upload_session_id", stored.sessionId);
        form.append("chunk_index", String(index));
        const slice = file.slice(index * chunkSize, index * chunkSize + sizeOf(index));
        form.append("chunk", slice, "chunk");
        await this.server.postForm("upload/chunk", form, {
          signal: stop.signal,
          onProgress: (loaded) => {
            underWay.set(index, Math.min(loaded, sizeOf(index))); // without the form around it
            report();
          },
        });
        underWay.delete(index);
        finished += sizeOf(index);
        report();
      }
    };
    // One chunk that fails stops its neighbours, so that nothing goes on behind the next try.
    const stop = new AbortController();
    const relay = () => stop.abort(signal.reason);
    signal.addEventListener("abort", relay, { once: true });
    if (signal.aborted) relay();
    const workers = Array.from({ length: transfer.isParallel ? 4 : 1 }, sendNext);
    try {
      await Promise.all(workers);
    } catch (failure) {
      stop.abort(failure);
      await Promise.allSettled(workers);
      throw failure;
    } finally {
      signal.removeEventListener("abort", relay);
    }
    return this.#complete(stored, file, signal);
  }

  async #complete(stored, file, signal) {
    const body = {
      upload_session_id: stored.sessionId,
      total_chunks: chunkCount(file, stored),
      main_service_file_id: stored.fileId,
    };
    try {
      await this.server.call("POST", "upload/complete", body, { signal });
      return [];
    } catch (failure) {
      const missing = failure instanceof HttpFailure ? failure.answer.missing : undefined;
      if (failure.status === 409 && Array.isArray(missing) && missing.length > 0) return missing;
      throw failure;
    }
  }
}

function chunkCount(file, stored) {
  return Math.max(1, Math.ceil(file.size / stored.chunkSize));
}

function isGone(failure) {
  return failure instanceof HttpFailure && (failure.status === 404 || failure.status === 410);
}
