// Uploads that are not finished, kept over a reload; it is the `urlStorage` of tus-js-client.

const PREFIX = "tusd-upload::";

export class Unfinished {
  #access;

  constructor(access) {
    this.#access = access;
  }

  /** Same file, same user, same way: the same fingerprint. */
  fingerprint(file, way) {
    const { name, type, size, lastModified } = file;
    return JSON.stringify([this.#access.owner, way, name, type, size, lastModified]);
  }

  /** Those of the present user. */
  async findAllUploads() {
    return this.#find(`${PREFIX}[${JSON.stringify(this.#access.owner)},`);
  }

  async findUploadsByFingerprint(fingerprint) {
    return this.#find(`${PREFIX}${fingerprint}::`);
  }

  async addUpload(fingerprint, upload) {
    const urlStorageKey = `${PREFIX}${fingerprint}::${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    localStorage.setItem(urlStorageKey, JSON.stringify(upload));
    return urlStorageKey;
  }

  async removeUpload(urlStorageKey) {
    localStorage.removeItem(urlStorageKey);
  }

  #find(prefix) {
    const found = [];
    for (const key of Object.keys(localStorage)) {
      if (!key.startsWith(prefix)) continue;
      try {
        found.push({ ...JSON.parse(localStorage.getItem(key)), urlStorageKey: key });
      } catch {
        localStorage.removeItem(key);
      }
    }
    return found;
  }
}
