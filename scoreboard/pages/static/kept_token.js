/**
 * Stored access token of this tab. Where the browser blocks storage, the token lasts until the page is left.
 */

const STORAGE_KEY = "scoreboard.token";

export class KeptToken {
  #openStorage;
  /** @type {string | null} */
  #value = null;

  /** @param {() => Storage} openStorage may throw: browsers refuse even the access to a storage that they block */
  constructor(openStorage) {
    this.#openStorage = openStorage;
    /** Whether a reload of the page keeps the token. */
    this.isKept = this.#attempt((storage) => (this.#value = storage.getItem(STORAGE_KEY)));
  }

  get value() {
    return this.#value;
  }

  /** @param {string | null} token null deletes it */
  set value(token) {
    this.#value = token;
    this.#attempt((storage) => (token === null ? storage.removeItem(STORAGE_KEY) : storage.setItem(STORAGE_KEY, token)));
  }

  /** False if the browser refuses. @param {(storage: Storage) => void} use */
  #attempt(use) {
    try {
      use(this.#openStorage());
      return true;
    } catch {
      return false;
    }
  }
}
