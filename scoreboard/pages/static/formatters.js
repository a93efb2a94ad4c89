/**
 * The name room: turns what others wrote into something fit for a wall. Pure, no document.
 */

const NAME_CODE_POINTS_MAX = 80;
const INITIALS_MAX = 2;

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });
const points = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const signed = new Intl.NumberFormat("en", { maximumFractionDigits: 0, signDisplay: "exceptZero" });

/**
 * A name that shows something and stays on its line: no control characters, no invisible direction marks, never empty, never endless.
 * It is still text from outside: put it into the page with `textContent`, inside a `<bdi>`.
 * @param {unknown} username
 * @param {string} userId what to show when nothing is left of the name
 */
export function displayName(username, userId) {
  const visible = String(username ?? "")
    .slice(0, NAME_CODE_POINTS_MAX * 4)
    .replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "")
    .replace(/[\p{Cc}\p{Z}]+/gu, " ")
    .trim();
  const shown = [...visible].slice(0, NAME_CODE_POINTS_MAX).join("");
  return /[^\p{C}\p{Z}\p{M}]/u.test(shown) ? shown : userId;
}

/**
 * One or two initials of a name: of its first two words, or its first letter.
 * @param {string} name
 */
export function initials(name) {
  const words = name.split(/[\s._-]+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).slice(0, INITIALS_MAX);
  const heads = (words.length ? words : [name]).map(firstGrapheme);
  return heads.join("").toLocaleUpperCase("en");
}

/** @param {string} word */
function firstGrapheme(word) {
  const [first] = graphemes.segment(word.replace(/^[^\p{L}\p{N}]+(?=[\p{L}\p{N}])/u, ""));
  return (first?.segment ?? "?").slice(0, 8);
}

/**
 * A hue in degrees that stays with a user, whatever the name.
 * @param {string} userId
 */
export function hueOf(userId) {
  let hash = 2166136261;
  for (let i = 0; i < userId.length; i += 1) {
    hash = Math.imul(hash ^ userId.charCodeAt(i), 16777619);
  }
  hash = Math.imul(hash ^ (hash >>> 15), 2246822519);
  return ((hash ^ (hash >>> 13)) >>> 0) % 360;
}

/**
 * The avatar's address if it is our own host's. Any other would tell a stranger's server who is watching, so a monogram takes its place.
 * @param {unknown} avatar
 * @param {string} origin the page's own
 * @returns {string | null}
 */
export function ownImage(avatar, origin) {
  if (typeof avatar !== "string" || !URL.canParse(avatar, origin)) return null;
  const url = new URL(avatar, origin);
  return url.origin === origin ? url.href : null;
}

/** A number as one reads it. @param {number} number */
export const figures = (number) => points.format(number).replace("-", "−");

/** A difference as one reads it, its sign before it. @param {number} difference */
export const gain = (difference) => signed.format(difference).replace("-", "−");

/**
 * How long ago, as one says it.
 * @param {number} ageMs
 */
export function ago(ageMs) {
  const seconds = Math.max(0, Math.floor(ageMs / 1000));
  if (seconds < 3) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  const days = Math.floor(seconds / 86_400);
  return days === 1 ? "a day ago" : `${days} days ago`;
}
