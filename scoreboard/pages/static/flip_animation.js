/**
 * FLIP animation (first, last, invert, play): rows move from their old positions to their new ones. It animates transforms only, which
 * cost no layout, and an interrupted animation continues from the visible position.
 */

const MOVE_MS = 560;
const ENTER_MS = 420;
const ENTER_STAGGER_MS = 28;
const EASING = "cubic-bezier(.22, .8, .2, 1)";
const CAN_ANIMATE = "getAnimations" in Element.prototype && "CSSTransition" in window;

/**
 * Run a change that reorders a container's children, and animate their moves.
 * @param {HTMLElement} container
 * @param {boolean} isMotionReduced whether to skip the animation
 * @param {() => void} change
 */
export function animateReorder(container, isMotionReduced, change) {
  if (isMotionReduced || !CAN_ANIMATE) {
    change();
    return;
  }
  const before = measureTops(container);
  change();
  for (const child of container.children) {
    for (const animation of child.getAnimations()) if (!(animation instanceof CSSTransition)) animation.cancel();
  }
  const after = measureTops(container);
  [...container.children].forEach((child, index) => {
    const from = before.get(child);
    const offset = from === undefined ? 0 : from - (after.get(child) ?? from);
    if (from === undefined) enter(child, before.size ? 0 : index);
    else if (Math.abs(offset) > 0.5) move(child, offset);
  });
}

/**
 * @param {HTMLElement} container
 * @returns {Map<Element, number>} each child's visible distance from the top of the container
 */
function measureTops(container) {
  const { top } = container.getBoundingClientRect();
  return new Map([...container.children].map((child) => [child, child.getBoundingClientRect().top - top]));
}

/**
 * A rising child is drawn in front of a falling one.
 * @param {Element} child
 * @param {number} offset pixels from the new position to the old one, positive when the child rises
 */
function move(child, offset) {
  const zIndex = offset > 0 ? 2 : 1;
  child.animate(
    [
      { transform: `translateY(${offset}px)`, zIndex },
      { transform: "none", zIndex },
    ],
    { duration: MOVE_MS, easing: EASING },
  );
}

/**
 * @param {Element} child
 * @param {number} index how many other children enter before this one
 */
function enter(child, index) {
  child.animate(
    [
      { transform: "translateY(40%)", opacity: 0 },
      { transform: "none", opacity: 1 },
    ],
    { duration: ENTER_MS, delay: index * ENTER_STAGGER_MS, easing: EASING, fill: "backwards" },
  );
}
