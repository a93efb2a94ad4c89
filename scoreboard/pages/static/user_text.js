/**
 * Elements for text that users chose, such as names: the browser translates none of it, and its direction is its own. The text is
 * untrusted, so it is only ever set with `textContent`.
 *
 * @param {string} className
 * @param {string} [text]
 */
export function createUserText(className, text = "") {
  const element = document.createElement("bdi");
  element.className = className;
  element.dir = "auto";
  element.setAttribute("translate", "no");
  element.textContent = text;
  return element;
}
