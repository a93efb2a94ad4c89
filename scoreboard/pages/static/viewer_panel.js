/**
 * Sign-in panel: shows the viewer's identity, accepts an access token and signs the viewer out. Without it, a board that is not public
 * could not be watched.
 *
 * @typedef {import("./token_provider.js").TokenProvider} TokenProvider
 */

import { displayName } from "./formatters.js";

const HINT = "It stays in this tab and is forgotten when the tab is closed.";
const UNREADABLE = "This is no access token: those are three long words with dots between them.";

export class ViewerPanel {
  #text;
  #openButton;
  #signOutButton;
  #form;
  #input;
  #hint;
  #isOpen = false;

  /**
   * @param {(id: string) => any} byId
   * @param {{ signIn: (token: string) => boolean, signOut: () => void }} actions `signIn` returns false if the text is not a token
   */
  constructor(byId, { signIn, signOut }) {
    this.#text = byId("viewer-text");
    this.#openButton = byId("sign-in-open");
    this.#signOutButton = byId("sign-out");
    this.#form = byId("sign-in");
    this.#input = byId("token");
    this.#hint = byId("token-hint");
    this.#openButton.onclick = () => {
      this.#toggle(!this.#isOpen);
      if (!this.#isOpen) return;
      this.#input.focus();
      this.#form.scrollIntoView({ block: "nearest" });
    };
    this.#signOutButton.onclick = signOut;
    this.#form.onsubmit = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const isSignedIn = signIn(this.#input.value.trim());
      this.#input.value = "";
      if (isSignedIn) this.#toggle(false);
      else this.showError(UNREADABLE);
    };
  }

  /**
   * @param {TokenProvider} tokens
   * @param {boolean} isTokenRequired whether the board is visible only with a token
   */
  render({ isSignedIn, player }, isTokenRequired) {
    if (isTokenRequired) this.#text.textContent = "This board is shown to those who sign in with a token.";
    else if (player) this.#text.replaceChildren("Watching as ", nameElement(player));
    else this.#text.textContent = isSignedIn ? "Watching with a token" : "Watching as a spectator";
    this.#openButton.hidden = isSignedIn || isTokenRequired;
    this.#signOutButton.hidden = !isSignedIn;
    this.#form.hidden = !(this.#isOpen || isTokenRequired);
  }

  /** Open the form with an error message. @param {string} message */
  showError(message) {
    this.#toggle(true);
    this.#hint.textContent = message;
    this.#input.setAttribute("aria-invalid", "true");
  }

  /** @param {boolean} isOpen */
  #toggle(isOpen) {
    this.#isOpen = isOpen;
    this.#form.hidden = !isOpen;
    this.#openButton.setAttribute("aria-expanded", String(isOpen));
    this.#hint.textContent = HINT;
    this.#input.removeAttribute("aria-invalid");
  }
}

/** @param {import("./token_provider.js").Player} player */
function nameElement({ username, userId }) {
  const name = document.createElement("bdi");
  name.textContent = displayName(username, userId);
  return name;
}
