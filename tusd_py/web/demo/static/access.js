// The access token: where it comes from, where it is kept and whose it is.

const KEY = "tusd-token";

/** Events: `changed` (another token), `rejected` (the server refused it; `detail` says why). */
export class Access extends EventTarget {
  #token = "";

  constructor() {
    super();
    this.#token = sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY) ?? "";
    this.#takeFromAddress();
    addEventListener("hashchange", () => this.#takeFromAddress());
  }

  get token() {
    return this.#token;
  }

  get isRemembered() {
    return localStorage.getItem(KEY) !== null;
  }

  /** The user the token names, "" when it names none or cannot be read. */
  get owner() {
    try {
      const payload = this.#token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
      const claims = JSON.parse(atob(payload));
      return String(claims.user_id ?? claims.sub ?? "");
    } catch {
      return "";
    }
  }

  get headers() {
    return this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
  }

  use(token, { remember }) {
    this.#token = token.trim().replace(/^Bearer\s+/i, "");
    sessionStorage.setItem(KEY, this.#token);
    if (remember) localStorage.setItem(KEY, this.#token);
    else localStorage.removeItem(KEY);
    this.dispatchEvent(new Event("changed"));
  }

  forget() {
    this.#token = "";
    sessionStorage.removeItem(KEY);
    localStorage.removeItem(KEY);
    this.dispatchEvent(new Event("changed"));
  }

  reject(reason) {
    this.dispatchEvent(new CustomEvent("rejected", { detail: reason }));
  }

  /** `#token=…` is taken and wiped at once, so that it gets into no bookmark and no screenshot. */
  #takeFromAddress() {
    const token = new URLSearchParams(location.hash.slice(1)).get("token");
    if (token === null) return;
    history.replaceState(null, "", location.pathname + location.search);
    this.use(token, { remember: this.isRemembered });
  }
}
