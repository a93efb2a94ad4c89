/**
 * The stage machinery: rows glide from where they stood to where they stand (FLIP: first, last, invert, play). Transforms only, so that
 * a glide costs no layout, and an interrupted glide goes on from where it is seen.
 */

const GLIDE_MS = 560;
const ENTER_MS = 420;
const ENTER_STAGGER_MS = 28;
const EASE = "cubic-bezier(.22, .8, .2, 1)";

/**
 * Make a change to where the children of a stage stand, and let them glide there; at once if `calm`.
 * @param {HTMLElement} stage
 * @param {boolean} calm
 * @param {() => void} change
 */
export function glide(stage, calm, change) {
  if (calm) {
    change();
    return;
  }
  const before = topsOf(stage);
  change();
  for (const child of stage.children) {
    for (const animation of child.getAnimations()) if (!(animation instanceof CSSTransition)) animation.cancel();
  }
  const after = topsOf(stage);
  [...stage.children].forEach((child, index) => {
    const from = before.get(child);
    const by = from === undefined ? 0 : from - (after.get(child) ?? from);
    if (from === undefined) enter(child, before.size ? 0 : index);
    else if (Math.abs(by) > 0.5) move(child, by);
  });
}

/**
 * @param {HTMLElement} stage
 * @returns {Map<Element, number>} each child's distance from the top of the stage, as seen now
 */
function topsOf(stage) {
  const { top } = stage.getBoundingClientRect();
  return new Map([...stage.children].map((child) => [child, child.getBoundingClientRect().top - top]));
}

/**
 * Who rises passes in front of who sinks.
 * @param {Element} child
 * @param {number} by pixels from the new place up to the old one
 */
function move(child, by) {
  const zIndex = by > 0 ? 2 : 1;
  child.animate(
    [
      { transform: `translateY(${by}px)`, zIndex },
      { transform: "none", zIndex },
    ],
    { duration: GLIDE_MS, easing: EASE },
  );
}

/**
 * @param {Element} child
 * @param {number} turn how many others enter before it
 */
function enter(child, turn) {
  child.animate(
    [
      { transform: "translateY(40%)", opacity: 0 },
      { transform: "none", opacity: 1 },
    ],
    { duration: ENTER_MS, delay: turn * ENTER_STAGGER_MS, easing: EASE, fill: "backwards" },
  );
}
