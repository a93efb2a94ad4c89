/**
 * Sign-in panel: shows the viewer's identity, accepts an access token and signs the viewer out. Without it, a board that is not public
 * could not be watched.
 *
 * @typedef {import("./token_provider.js").TokenProvider} TokenProvider
 */

import { displayName } from "./formatters.js";
import { createUserText } from "./user_text.js";

const KEPT = "It stays in this tab and is forgotten when the tab is closed.";
const NOT_KEPT = "This browser stores nothing for this site, so the token is forgotten when the page is left or reloaded.";
const UNREADABLE = "This is not an access token. A token has three parts of letters, digits, - and _, with dots between them.";

export class ViewerPanel {
  #text;
  #openButton;
  #signOutButton;
  #form;
  #input;
  #hint;
  #hintText;
  #isOpen = false;

  /**
   * @param {(id: string) => any} byId
   * @param {{ signIn: (text: string) => boolean, signOut: () => void, isKept: boolean }} options `signIn` returns false if the text is
   *   not a token; `isKept` says whether a reload of the page keeps it
   */
  constructor(byId, { signIn, signOut, isKept }) {
    this.#text = byId("viewer-text");
    this.#openButton = byId("sign-in-open");
    this.#signOutButton = byId("sign-out");
    this.#form = byId("sign-in");
    this.#input = byId("token");
    this.#hint = byId("token-hint");
    this.#hintText = isKept ? KEPT : NOT_KEPT;
    this.#hint.textContent = this.#hintText;
    this.#openButton.onclick = () => {
      this.#toggle(!this.#isOpen);
      if (!this.#isOpen) return;
      this.#input.focus();
      this.#form.scrollIntoView({ block: "nearest" });
    };
    this.#signOutButton.onclick = signOut;
    this.#form.onsubmit = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const isSignedIn = signIn(this.#input.value);
      this.#input.value = "";
      if (isSignedIn) this.#toggle(false);
      else this.showUnreadable();
    };
  }

  /**
   * @param {TokenProvider} tokens
   * @param {boolean} isTokenRequired whether the board is visible only with a token
   */
  render({ isSignedIn, player }, isTokenRequired) {
    if (isTokenRequired) this.#text.textContent = "This board is shown to those who sign in with a token.";
    else if (player) this.#text.replaceChildren("Watching as ", createUserText("", displayName(player.username, player.userId)));
    else this.#text.textContent = isSignedIn ? "Watching with a token" : "Watching as a spectator";
    this.#openButton.hidden = isSignedIn || isTokenRequired;
    this.#signOutButton.hidden = !isSignedIn;
    this.#form.hidden = !(this.#isOpen || isTokenRequired);
  }

  /** Open the form and say that the text is not a token. */
  showUnreadable() {
    this.showError(UNREADABLE);
  }

  /** Open the form with an error message. @param {string} message */
  showError(message) {
    this.#toggle(true);
    this.#hint.textContent = message;
    this.#hint.classList.add("error");
    this.#input.setAttribute("aria-invalid", "true");
  }

  /** @param {boolean} isOpen */
  #toggle(isOpen) {
    this.#isOpen = isOpen;
    this.#form.hidden = !isOpen;
    this.#openButton.setAttribute("aria-expanded", String(isOpen));
    this.#hint.textContent = this.#hintText;
    this.#hint.classList.remove("error");
    this.#input.removeAttribute("aria-invalid");
  }
}
