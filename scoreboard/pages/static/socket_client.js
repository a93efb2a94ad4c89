/**
 * One line to the server: a WebSocket that answers questions and tells news. It falls once and is not mended; `reconnecting_client.js` opens another.
 */

const ANSWER_WAIT_MAX_MS = 10_000;

/** The line is gone; `code` says why (RFC 6455, 7.4), 1006 if nobody said. */
export class Fallen extends Error {
  /** @param {number} code */
  constructor(code) {
    super(`the line fell: ${code}`);
    this.code = code;
  }
}

/** The server answered a question with no; `code` is the API's own. */
export class Refused extends Error {
  /** @param {{ code: number, message: string }} error */
  constructor({ code, message }) {
    super(message);
    this.code = code;
  }
}

export class Line {
  #socket;
  #hear;
  #fall;
  #lastId = 0;
  /** @type {Map<number, { resolve: (data: any) => void, reject: (error: Error) => void }>} */
  #asked = new Map();

  /**
   * @param {string} url
   * @param {{ hear: (event: string, data: any) => void, fall: (error: Fallen) => void }} ears news, and the end; `fall` is called once
   */
  constructor(url, { hear, fall }) {
    this.#hear = hear;
    this.#fall = fall;
    this.#socket = new WebSocket(url);
    this.#socket.onmessage = ({ data }) => this.#read(JSON.parse(data));
    this.#socket.onclose = ({ code }) => this.#end(code);
    /** Resolves when questions may be asked. @type {Promise<void>} */
    this.opened = this.#inTime((resolve, reject) => {
      this.#asked.set(0, { resolve, reject });
      this.#socket.onopen = () => resolve();
    });
  }

  /**
   * Ask, and resolve with the answer's data. Rejects with Refused if it is no, with Fallen if none comes in time.
   * @param {string} event
   * @param {object} [data]
   * @returns {Promise<any>}
   */
  ask(event, data) {
    const id = (this.#lastId += 1);
    return this.#inTime((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ event, id, data }));
    }).finally(() => this.#asked.delete(id));
  }

  /** Close it; nothing is heard from it any more. */
  hangUp() {
    this.#hear = () => {};
    this.#end(1000);
    this.#socket.close();
  }

  /**
   * A promise that rejects when the wait for it is over, for a dead line says nothing.
   * @param {(resolve: (data?: any) => void, reject: (error: Error) => void) => void} begin
   * @returns {Promise<any>}
   */
  #inTime(begin) {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let tooLong;
    const answer = new Promise((resolve, reject) => {
      tooLong = setTimeout(() => reject(new Fallen(1006)), ANSWER_WAIT_MAX_MS);
      begin(resolve, reject);
    });
    return answer.finally(() => clearTimeout(tooLong));
  }

  /** @param {{ event: string, data?: any, id?: number }} message */
  #read({ event, data, id }) {
    if (event === "ack") this.#asked.get(id ?? -1)?.resolve(data);
    else if (event === "error") this.#asked.get(id ?? -1)?.reject(new Refused(data));
    else this.#hear(event, data);
  }

  /** @param {number} code */
  #end(code) {
    this.#socket.onclose = null;
    const fallen = new Fallen(code);
    for (const { reject } of this.#asked.values()) reject(fallen);
    const fall = this.#fall;
    this.#fall = () => {};
    fall(fallen);
  }
}
