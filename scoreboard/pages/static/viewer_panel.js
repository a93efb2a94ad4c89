/**
 * The front desk: says as whom one watches, takes a token, gives it back.
 *
 * @typedef {import("./token_provider.js").Session} Session
 */

import { displayName } from "./formatters.js";

const EXPLAINED = "It stays in this tab and is forgotten when the tab is closed.";
const UNREADABLE = "This is no access token: those are three long words with dots between them.";

export class Viewer {
  #text;
  #opener;
  #leaver;
  #form;
  #input;
  #hint;
  #isOpen = false;

  /**
   * @param {(id: string) => any} find
   * @param {{ use: (token: string) => boolean, leave: () => void }} desk what to do with a token (false if it is none), and when it is given back
   */
  constructor(find, { use, leave }) {
    this.#text = find("viewer-text");
    this.#opener = find("sign-in-open");
    this.#leaver = find("sign-out");
    this.#form = find("sign-in");
    this.#input = find("token");
    this.#hint = find("token-hint");
    this.#opener.onclick = () => {
      this.#toggle(!this.#isOpen);
      if (!this.#isOpen) return;
      this.#input.focus();
      this.#form.scrollIntoView({ block: "nearest" });
    };
    this.#leaver.onclick = leave;
    this.#form.onsubmit = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const isTaken = use(this.#input.value.trim());
      this.#input.value = "";
      if (isTaken) this.#toggle(false);
      else this.complain(UNREADABLE);
    };
  }

  /**
   * @param {Session} session
   * @param {boolean} isLocked whether nothing can be seen without a token
   */
  draw({ isGiven, player }, isLocked) {
    if (isLocked) this.#text.textContent = "This board is shown to those who sign in with a token.";
    else if (player) this.#text.replaceChildren("Watching as ", nameOf(player));
    else this.#text.textContent = isGiven ? "Watching with a token" : "Watching as a spectator";
    this.#opener.hidden = isGiven || isLocked;
    this.#leaver.hidden = !isGiven;
    this.#form.hidden = !(this.#isOpen || isLocked);
  }

  /** Say why a token was not taken. @param {string} why */
  complain(why) {
    this.#toggle(true);
    this.#hint.textContent = why;
    this.#input.setAttribute("aria-invalid", "true");
  }

  /** @param {boolean} isOpen */
  #toggle(isOpen) {
    this.#isOpen = isOpen;
    this.#form.hidden = !isOpen;
    this.#opener.setAttribute("aria-expanded", String(isOpen));
    this.#hint.textContent = EXPLAINED;
    this.#input.removeAttribute("aria-invalid");
  }
}

/** @param {import("./token_provider.js").Player} player */
function nameOf({ username, userId }) {
  const name = document.createElement("bdi");
  name.textContent = displayName(username, userId);
  return name;
}
