// The server's REST face, and its failures in words that tell what to do.

/** The server answered, and not with a success. */
export class HttpFailure extends Error {
  constructor(status, message, answer = {}) {
    super(message);
    this.status = status;
    this.answer = answer;
  }
}

/** No answer came. */
export class NetworkFailure extends Error {}

export function failureOf(status, body) {
  let answer = {};
  try {
    answer = JSON.parse(body);
  } catch {
    answer = { message: body?.split("\n", 1)[0] };
  }
  return new HttpFailure(status, answer?.message ?? "", answer ?? {});
}

/**
 * What a failure means: `text` for the person, `again` when trying again may help,
 * `token` when another token is needed.
 */
export function explain(failure) {
  if (failure instanceof NetworkFailure) {
    return { text: "No connection to the server.", again: true };
  }
  if (!(failure instanceof HttpFailure)) {
    return { text: `This page made a mistake: ${failure.message}. Reload it and try again.` };
  }
  const reason = sentence(failure.message || `status ${failure.status}`);
  switch (failure.status) {
    case 401:
      // The answer to HEAD has no words.
      return {
        text: `The server did not accept the token.${failure.message ? ` ${reason}` : ""}`,
        token: true,
      };
    case 404:
    case 410:
      return { text: "The server no longer has this upload. Press Retry to send it from the start." };
    case 413:
      return { text: `The file is larger than this server takes. ${reason}` };
    case 507:
      return { text: "The server has no room left. Free some space there, then press Retry." };
    case 409:
      return failure.answer.code === "chunk_conflict"
        ? { text: "The server holds other bytes for this file. Cancel this upload and send it again." }
        : { text: "The server is still busy with this upload.", again: true };
    case 408:
    case 423:
    case 429:
      return { text: "The server is busy with this upload.", again: true };
    default:
      return failure.status >= 500
        ? { text: "The server has trouble at the moment.", again: true }
        : { text: `The server refused this. ${reason}` };
  }
}

function sentence(text) {
  const trimmed = text.trim();
  const start = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(start) ? start : `${start}.`;
}

export class Server {
  constructor(access, tusEndpoint) {
    this.access = access;
    this.tusEndpoint = tusEndpoint;
  }

  uploadUrl(id) {
    return new URL(encodeURIComponent(id), this.tusEndpoint).href;
  }

  /** The largest file it takes, in bytes; null when it names no limit. */
  async maxSize() {
    const response = await this.#fetch(this.tusEndpoint, { method: "OPTIONS" });
    const limit = Number.parseInt(response.headers.get("Tus-Max-Size") ?? "", 10);
    return Number.isNaN(limit) ? null : limit;
  }

  /** Bytes the server has of an unfinished upload; null when it does not know it any more. */
  async offset(url) {
    const response = await this.#fetch(url, {
      method: "HEAD",
      headers: { "Tus-Resumable": "1.0.0" },
      cache: "no-store",
    });
    if (response.status === 404 || response.status === 410) return null;
    if (!response.ok) throw this.#refusal(response.status, "");
    return Number.parseInt(response.headers.get("Upload-Offset") ?? "0", 10);
  }

  async call(method, path, body, { signal } = {}) {
    const response = await this.#fetch(path, {
      method,
      signal,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
    });
    const text = await response.text().catch(() => {
      throw new NetworkFailure();
    });
    if (!response.ok) throw this.#refusal(response.status, text);
    return JSON.parse(text);
  }

  /** Posts a form and reports the bytes sent; XMLHttpRequest, as fetch tells no progress. */
  postForm(path, form, { signal, onProgress }) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", path);
      for (const [name, value] of Object.entries(this.access.headers)) {
        request.setRequestHeader(name, value);
      }
      const leave = () => request.abort();
      signal.addEventListener("abort", leave, { once: true });
      request.upload.onprogress = (event) => onProgress(event.loaded);
      request.onabort = () => reject(signal.reason);
      request.onerror = () => reject(new NetworkFailure());
      request.onload = () => {
        const isFine = request.status >= 200 && request.status < 300;
        if (isFine) resolve();
        else reject(this.#refusal(request.status, request.responseText));
      };
      request.onloadend = () => signal.removeEventListener("abort", leave);
      if (signal.aborted) reject(signal.reason);
      else request.send(form);
    });
  }

  /** A finished file as a Blob (which the browser keeps on disk when it is large). */
  async download(id, { onProgress }) {
    const response = await this.#fetch(this.uploadUrl(id), { cache: "no-store" });
    if (!response.ok) throw this.#refusal(response.status, await response.text());
    let received = 0;
    const counted = response.body.pipeThrough(
      new TransformStream({
        transform(block, controller) {
          received += block.byteLength;
          onProgress(received);
          controller.enqueue(block);
        },
      }),
    );
    try {
      return await new Response(counted).blob();
    } catch {
      throw new NetworkFailure();
    }
  }

  /** Throws what a bad answer means. */
  refuse(status, body) {
    throw this.#refusal(status, body);
  }

  #refusal(status, body) {
    const failure = failureOf(status, body);
    if (status === 401) this.access.reject(explain(failure).text);
    return failure;
  }

  async #fetch(url, options) {
    const headers = { ...options.headers, ...this.access.headers };
    try {
      return await fetch(url, { ...options, headers });
    } catch {
      options.signal?.throwIfAborted();
      throw new NetworkFailure();
    }
  }
}
