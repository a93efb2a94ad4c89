/**
 * Request/response client over one WebSocket, which also delivers the server's events. It never reopens its socket:
 * `reconnecting_client.js` creates a new client for each attempt.
 */

const REQUEST_TIMEOUT_MS = 10_000;

/** The connection closed, or a request timed out; `code` is the close code (RFC 6455, 7.4), 1006 if there was no close frame. */
export class ConnectionClosed extends Error {
  /** @param {number} code */
  constructor(code) {
    super(`connection closed: ${code}`);
    this.code = code;
  }
}

/** The server refused a request; `code` and `retryAfter` are the API's own. */
export class Refusal extends Error {
  /** @param {{ code: number, message: string, retryAfter?: number }} error */
  constructor({ code, message, retryAfter }) {
    super(message);
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

export class SocketClient {
  #socket;
  #onEvent;
  #onClose;
  #lastId = 0;
  /** @type {Map<number, { resolve: (data: any) => void, reject: (error: Error) => void }>} */
  #pending = new Map();

  /**
   * @param {string} url
   * @param {{ onEvent: (event: string, data: any) => void, onClose: (error: ConnectionClosed) => void }} callbacks `onClose` once
   */
  constructor(url, { onEvent, onClose }) {
    this.#onEvent = onEvent;
    this.#onClose = onClose;
    this.#socket = new WebSocket(url);
    this.#socket.onmessage = ({ data }) => this.#dispatch(JSON.parse(data));
    this.#socket.onclose = ({ code }) => this.#finish(code);
    /** Resolves when requests can be sent. @type {Promise<void>} */
    this.opened = this.#withTimeout((resolve, reject) => {
      this.#pending.set(0, { resolve, reject });
      this.#socket.onopen = () => resolve();
    });
  }

  /**
   * Send a request; resolves with the data of its `ack`. Rejects with Refusal, or with ConnectionClosed after a timeout.
   * @param {string} event
   * @param {object} [data]
   * @returns {Promise<any>}
   */
  request(event, data) {
    const id = (this.#lastId += 1);
    return this.#withTimeout((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ event, id, data }));
    }).finally(() => this.#pending.delete(id));
  }

  /** Close the connection; later events are dropped. */
  close() {
    this.#onEvent = () => {};
    this.#finish(1000);
    this.#socket.close();
  }

  /**
   * A promise that rejects after the timeout, because a dead connection reports no error.
   * @param {(resolve: (data?: any) => void, reject: (error: Error) => void) => void} begin
   * @returns {Promise<any>}
   */
  #withTimeout(begin) {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const response = new Promise((resolve, reject) => {
      timer = setTimeout(() => reject(new ConnectionClosed(1006)), REQUEST_TIMEOUT_MS);
      begin(resolve, reject);
    });
    return response.finally(() => clearTimeout(timer));
  }

  /** @param {{ event: string, data?: any, id?: number }} message */
  #dispatch({ event, data, id }) {
    if (event === "ack") this.#pending.get(id ?? -1)?.resolve(data);
    else if (event === "error") this.#pending.get(id ?? -1)?.reject(new Refusal(data));
    else this.#onEvent(event, data);
  }

  /** @param {number} code */
  #finish(code) {
    this.#socket.onclose = null;
    const error = new ConnectionClosed(code);
    for (const { reject } of this.#pending.values()) reject(error);
    const onClose = this.#onClose;
    this.#onClose = () => {};
    onClose(error);
  }
}
